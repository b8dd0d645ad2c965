"""What the pages of the inbox accept: queries and forms. Fields are those of the API."""

from marshmallow import EXCLUDE

from leadapi.leads.fields import LeadCursor
from leadapi.leads.schemas import LeadExportArgsSchema, LeadFilterArgsSchema


class LeadListQuerySchema(LeadFilterArgsSchema):
    """The filters of the list, and where its page begins."""

    class Meta:
        unknown = EXCLUDE

    after = LeadCursor()


class LeadExportQuerySchema(LeadExportArgsSchema):
    """The filters of the list, and the kind of file."""

    class Meta:
        unknown = EXCLUDE


# The parameters that choose leads.
FILTERS = tuple(name for name in LeadFilterArgsSchema().fields if name != "sort")
