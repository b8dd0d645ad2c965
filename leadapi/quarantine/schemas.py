"""The time of a page on the wire."""

from marshmallow import fields, validate

from leadapi.web.fields import ShownSchema

STAMP = {"_ts": "1772272800.0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}


class FormTimeSchema(ShownSchema):
    """What a form sends along, to show that a person took the time to fill it."""

    _ts = fields.String(
        required=True,
        validate=validate.Regexp("^[0-9]{1,12}\\.[0-9a-f]{64}$"),
        metadata={
            "description": "For the field `_ts`. Unix seconds, a dot, and the hexadecimal HMAC-SHA256 of the"
            " seconds with `FORM_SECRET`."
        },
    )
