"""The endpoint that issues stamps for forms."""

from typing import Any

from flask.views import MethodView

from leadapi.quarantine import schemas, traps
from leadapi.web.api import Blueprint
from leadapi.web.fields import STAMP_FIELD, NoArgsSchema

blp = Blueprint("forms", __name__, url_prefix="/forms", description="What pages with a form need")


@blp.route("/ts")
class FormTimeView(MethodView):
    """The current time, signed."""

    @blp.doc(operationId="getFormTime", description="404 where no form needs one, because `MIN_FILL_SECONDS` is 0.")
    @blp.requires(None)
    @blp.arguments(NoArgsSchema(), location="query")
    @blp.response(200, schemas.FormTimeSchema, example=schemas.STAMP)
    @blp.refuses(404, 422, 500)
    def get(self, args: dict[str, Any]) -> dict[str, str]:
        """Get the signed time for a form that is shown now"""
        return {STAMP_FIELD: traps.make_stamp()}
