from leadapi import create_app

app = create_app()
# The name that some WSGI servers look for.
application = app
