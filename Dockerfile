FROM python:3.13-slim AS base


FROM base AS builder

WORKDIR /build
COPY requirements.txt .
# The environment does without a pip of its own: nothing is installed once the image is built.
RUN sed '/^# Tests. The container leaves out what follows.$/,$d' requirements.txt >service.txt \
    && python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --requirement service.txt

COPY wsgi.py /app/
COPY leadapi /app/leadapi
# Compiled here, because nothing can be written there at run time, and without a comparison with the
# source's time, because a copy may change it. Whatever the modes of the checkout, everybody can read it.
RUN python -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib /app \
    && chmod -R a=rX /opt/venv /app


FROM base

LABEL org.opencontainers.image.title="leadapi" \
      org.opencontainers.image.description="A self-hosted lead capture and processing API"

COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /app /app
# The only folder that the service writes to, besides /dev/shm. What is in it is about people.
RUN install --directory --owner=10001 --group=10001 --mode=0700 /data

# The default port is published from all of the container's addresses. DATABASE_URL is left to its
# default, app.db in the working directory, so that DATABASE_URL_FILE can be given instead.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    FLASK_APP=wsgi \
    HOST=0.0.0.0

# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000

# Not urllib.request, which would ask the proxy that the environment may name.
HEALTHCHECK --interval=15s --timeout=7s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client, os; service = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('PORT') or 8000), timeout=6); service.request('GET', '/ready'); raise SystemExit(service.getresponse().status != 200)"]

CMD ["gunicorn", "-c", "python:leadapi.gunicorn", "wsgi:app"]
