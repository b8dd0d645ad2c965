FROM python:3.13-slim AS base


FROM base AS builder

WORKDIR /build
COPY requirements.txt .
# The environment has no pip, because nothing is installed after the build.
RUN sed '/^# Tests. The container leaves out what follows.$/,$d' requirements.txt >service.txt \
    && python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --requirement service.txt

COPY wsgi.py /app/
COPY leadapi /app/leadapi
# Compile now, because the folder is read-only at run time. unchecked-hash, because a copy may change the time
# stamps of the sources. chmod, because the modes of the checkout may be too strict for the user below.
RUN python -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib /app \
    && chmod -R a=rX /opt/venv /app


FROM base

LABEL org.opencontainers.image.title="leadapi" \
      org.opencontainers.image.description="A self-hosted lead capture and processing API"

COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /app /app
# The only folder that the service writes to, apart from /tmp and /dev/shm. It contains personal data.
RUN install --directory --owner=10001 --group=10001 --mode=0700 /data

# Listen on all addresses of the container. DATABASE_URL is not set here, so that DATABASE_URL_FILE can be given;
# its default is app.db in the working directory.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    FLASK_APP=wsgi \
    HOST=0.0.0.0

# A number, so that an orchestrator can check that it is not root.
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000

# http.client, because urllib.request would use the proxy settings of the environment.
HEALTHCHECK --interval=15s --timeout=7s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client, os; service = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('PORT') or 8000), timeout=6); service.request('GET', '/ready'); raise SystemExit(service.getresponse().status != 200)"]

CMD ["gunicorn", "-c", "python:leadapi.gunicorn", "wsgi:app"]
