from leadapi import create_app

app = create_app()
