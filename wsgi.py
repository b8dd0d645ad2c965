import gc

# The application lives as long as the process. Garbage collections while it is built, and those that look at it later,
# would find next to nothing: a command takes 0.7 s without them instead of 1 s, and a worker stops sooner.
gc.disable()

from leadapi import create_app  # noqa: E402  # imports are what takes the time

app = create_app()
# The name that some WSGI servers look for.
application = app
gc.freeze()
gc.enable()
