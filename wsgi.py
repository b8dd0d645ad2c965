import gc

# Nothing of the application becomes garbage. A command that does not look for it starts and ends in 0.7 s instead of 1.
gc.disable()

from leadapi import create_app  # noqa: E402  # imports are what takes the time

app = create_app()
# The name that some WSGI servers look for.
application = app
gc.freeze()
gc.enable()
