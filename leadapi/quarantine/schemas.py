"""The JSON format of stamps."""

from marshmallow import fields, validate

from leadapi.web.fields import ShownSchema

STAMP = {"_ts": "1772272800.0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}


class FormTimeSchema(ShownSchema):
    """A signed time. A form sends it to prove that it was not filled faster than a person could."""

    _ts = fields.String(
        required=True,
        validate=validate.Regexp("^[0-9]{1,12}\\.[0-9a-f]{64}$"),
        metadata={
            "description": "For the field `_ts`. Unix seconds, a dot, and the hexadecimal HMAC-SHA256 of the"
            " seconds with `FORM_SECRET`."
        },
    )
