"""The download of all leads that match, for the API and for the inbox."""

from typing import Any

from flask import Response

from leadapi.leads import service
from leadapi.leads.transfer import exports
from leadapi.web.negotiation import accepted


def download(*, format: str | None = None, bom: str = "0", **args: Any) -> Response:  # noqa: A002  # the parameter's public name
    """A file that is written while it is sent.

    :param format: the kind of file; None to choose it by the Accept header.
    :param args: see `service.export_leads`.
    """
    media_type = accepted(exports.MEDIA_TYPES, format)
    extension = exports.MEDIA_TYPES[media_type]
    export = service.export_leads(file_format=extension, **args)
    response = Response(
        exports.WRITERS[extension](export.chunks, bom=bom == "1"),
        mimetype=media_type,
        headers={"Content-Disposition": f"attachment; filename=leads.{extension}"},
    )
    response.call_on_close(export.close)
    return response
