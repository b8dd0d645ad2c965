"""The HTTP side of the numbers of leads."""

from typing import Any

from flask.views import MethodView

from leadapi.leads.stats import schemas, service
from leadapi.leads.stats.service import Counts
from leadapi.web.api import Blueprint

EXAMPLE = {"total": 3, "items": [{"key": "2026-02-27", "count": 0}, {"key": "2026-02-28", "count": 3}]}

blp = Blueprint("stats", __name__, url_prefix="/stats", description="Numbers of leads")


@blp.route("")
class StatsView(MethodView):
    """How many leads there are."""

    @blp.doc(
        operationId="countLeads",
        description="By day, days without leads have the count 0. Otherwise the largest count comes first.",
    )
    @blp.requires("read")
    @blp.arguments(schemas.StatsArgsSchema(), location="query")
    @blp.response(200, schemas.StatsSchema, example=EXAMPLE)
    @blp.refuses(422, 500, 503)
    def get(self, args: dict[str, Any]) -> dict[str, Any]:
        """Count leads by day, source or status"""
        return _shown(service.count_leads(**args))


def _shown(counts: Counts) -> dict[str, Any]:
    return {"total": counts.total, "items": [{"key": key, "count": count} for key, count in counts.items]}
