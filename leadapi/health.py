"""Liveness and readiness."""

from flask.views import MethodView
from marshmallow import fields, validate

from leadapi.storage import schema
from leadapi.web.api import Blueprint
from leadapi.web.fields import ShownSchema

OK = {"status": "ok"}

blp = Blueprint("health", __name__, description="For load balancers and orchestrators", limited=False)


class HealthSchema(ShownSchema):
    """The service is well."""

    status = fields.String(required=True, validate=validate.Equal("ok"))


@blp.route("/health")
class HealthView(MethodView):
    """Liveness."""

    @blp.doc(operationId="getHealth", description="Touches nothing else, not even the database.")
    @blp.requires(None)
    @blp.response(200, HealthSchema, example=OK)
    def get(self) -> dict[str, str]:
        """Tell that the process is alive"""
        return OK


@blp.route("/ready")
class ReadyView(MethodView):
    """Readiness."""

    @blp.doc(operationId="getReadiness", description="Answers 503 until then.")
    @blp.requires(None)
    @blp.response(200, HealthSchema, example=OK)
    @blp.refuses(500, 503)
    def get(self) -> dict[str, str]:
        """Tell whether the database answers and its schema is current"""
        schema.require_current()
        return OK
