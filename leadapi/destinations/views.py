"""The HTTP side of destinations."""

from typing import Any

from flask import current_app
from flask.views import MethodView

from leadapi import logs
from leadapi.destinations import openapi, schemas, service
from leadapi.destinations.queue import DeliveryPage
from leadapi.destinations.representations import DestinationPage, ShownDestination
from leadapi.web.api import Blueprint, next_link
from leadapi.web.fields import NoArgsSchema, PageArgsSchema
from leadapi.web.headers import public_url
from leadapi.web.openapi import NEXT

blp = Blueprint("destinations", __name__, url_prefix="/destinations", description="Where events are sent")


@blp.route("")
class DestinationsView(MethodView):
    """The collection."""

    @blp.doc(
        operationId="createDestination",
        description="The response has the `secret` of a webhook, which is not shown again.",
    )
    @blp.requires("admin")
    @blp.arguments(schemas.NewDestinationSchema(), example=openapi.NEW_DESTINATION)
    @blp.response(201, schemas.DestinationWithSecretSchema, example=openapi.NEW, headers={"Location": openapi.LOCATION})
    @blp.leads_to(201, openapi.LINKS)
    @blp.refuses(400, 411, 413, 415, 422, 500, 503)
    def post(self, new_destination: dict[str, Any]) -> tuple[ShownDestination, dict[str, str]]:
        """Create a destination"""
        return _created(service.create_destination(**new_destination, settings=current_app.extensions["settings"]))

    @blp.doc(operationId="listDestinations")
    @blp.requires("admin")
    @blp.arguments(PageArgsSchema(), location="query")
    @blp.response(
        200,
        schemas.DestinationPageSchema,
        example={"total": 1, "items": [openapi.DESTINATION]},
        headers={"Link": NEXT},
    )
    @blp.refuses(422, 500, 503)
    def get(self, args: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """List destinations"""
        return _page(service.list_destinations(**args))


@blp.route("/<id:destination_id>")
class DestinationView(MethodView):
    """One of the destinations."""

    @blp.doc(operationId="showDestination")
    @blp.requires("admin")
    @blp.arguments(NoArgsSchema(), location="query")
    @blp.response(200, schemas.DestinationSchema, example=openapi.DESTINATION)
    @blp.refuses(404, 422, 500, 503)
    def get(self, args: dict[str, Any], destination_id: int) -> ShownDestination:
        """Show a destination"""
        return service.show_destination(destination_id)

    @blp.doc(
        operationId="changeDestination",
        description="Also as `application/merge-patch+json`. Enabling a destination sends what is due to it.",
    )
    @blp.requires("admin")
    @blp.arguments(schemas.DestinationChangesSchema(), example=openapi.CHANGES)
    @blp.response(200, schemas.DestinationSchema, example=openapi.DESTINATION)
    @blp.refuses(400, 404, 409, 411, 413, 415, 422, 500, 503)
    def patch(self, changes: dict[str, Any], destination_id: int) -> ShownDestination:
        """Change a destination"""
        return service.change_destination(destination_id, changes, settings=current_app.extensions["settings"])

    @blp.doc(operationId="deleteDestination", description="Deletes its deliveries, too, also those that are due.")
    @blp.requires("admin")
    @blp.arguments(NoArgsSchema(), location="query")
    @blp.response(204, description="The destination and its deliveries are gone.")
    @blp.refuses(404, 409, 422, 500, 503)
    def delete(self, args: dict[str, Any], destination_id: int) -> None:
        """Delete a destination"""
        service.delete_destination(destination_id)


@blp.route("/<id:destination_id>/rotate")
class SecretView(MethodView):
    """The signing secret of a webhook."""

    @blp.doc(
        operationId="rotateSecret",
        description="The response has the new `secret`. For 24 hours, the secret before it signs along.",
    )
    @blp.requires("admin")
    @blp.arguments(NoArgsSchema(), location="query")
    @blp.response(200, schemas.DestinationWithSecretSchema, example=openapi.ROTATED)
    @blp.refuses(404, 409, 422, 500, 503)
    def post(self, args: dict[str, Any], destination_id: int) -> ShownDestination:
        """Give a webhook a new secret"""
        return service.rotate_secret(destination_id)


@blp.route("/<id:destination_id>/test")
class DestinationTestView(MethodView):
    """A try of a destination."""

    @blp.doc(
        operationId="testDestination",
        description="Sends an event `lead.test` with an example of a lead. List the deliveries to see what came of it.",
    )
    @blp.requires("admin")
    @blp.arguments(NoArgsSchema(), location="query")
    @blp.response(202, schemas.DeliverySchema, description="The delivery is due.", example=openapi.TEST)
    @blp.leads_to(202, openapi.DELIVERY_LINKS)
    @blp.refuses(404, 409, 422, 500, 503)
    def post(self, args: dict[str, Any], destination_id: int) -> dict[str, Any]:
        """Try a destination"""
        return _sent(service.send_test(destination_id))


@blp.route("/<id:destination_id>/deliveries")
class DeliveriesView(MethodView):
    """The deliveries of a destination."""

    @blp.doc(operationId="listDeliveries", description="Those that are done for 30 days are deleted.")
    @blp.requires("admin")
    @blp.arguments(schemas.DeliveryListArgsSchema(), location="query")
    @blp.response(
        200, schemas.DeliveryPageSchema, example={"total": 1, "items": [openapi.DELIVERY]}, headers={"Link": NEXT}
    )
    @blp.refuses(404, 422, 500, 503)
    def get(self, args: dict[str, Any], destination_id: int) -> tuple[dict[str, Any], dict[str, str]]:
        """List what was sent to a destination"""
        return _page(service.list_deliveries(destination_id, **args))


@blp.route("/<id:destination_id>/deliveries/<id:delivery_id>/replay")
class DeliveryReplayView(MethodView):
    """A repetition of a delivery."""

    @blp.doc(operationId="replayDelivery", description="Only a delivery that failed or was delivered.")
    @blp.requires("admin")
    @blp.arguments(NoArgsSchema(), location="query")
    @blp.response(202, schemas.DeliverySchema, description="The delivery is due.", example=openapi.REPLAYED)
    @blp.refuses(404, 409, 422, 500, 503)
    def post(self, args: dict[str, Any], destination_id: int, delivery_id: int) -> dict[str, Any]:
        """Send a delivery again"""
        return _sent(service.replay_delivery(destination_id, delivery_id))


@blp.route("/<id:destination_id>/replay")
class DestinationReplayView(MethodView):
    """A repetition of all deliveries that failed."""

    @blp.doc(operationId="replayDeliveries")
    @blp.requires("admin")
    @blp.arguments(schemas.NewReplaySchema(), example=openapi.SINCE)
    @blp.response(202, schemas.ReplaySchema, description="The deliveries are due.", example={"replayed": 3})
    @blp.refuses(400, 404, 411, 413, 415, 422, 500, 503)
    def post(self, replay: dict[str, Any], destination_id: int) -> dict[str, int]:
        """Send all deliveries again that failed since a time"""
        return _replayed(service.replay_failed(destination_id, replay["since"]))


def _created(destination: ShownDestination) -> tuple[ShownDestination, dict[str, str]]:
    """The destination, with the header that says where it is."""
    logs.note(destination_id=destination.id)
    return destination, {"Location": public_url(f"/destinations/{destination.id}")}


def _page(page: DestinationPage | DeliveryPage) -> tuple[dict[str, Any], dict[str, str]]:
    """The page with the header that says where the next one is."""
    return {"total": page.total, "items": page.items}, next_link(page.next_after)


def _sent(delivery: dict[str, Any]) -> dict[str, Any]:
    """The delivery, whose id the log has, too."""
    logs.note(delivery_id=delivery["id"])
    return delivery


def _replayed(number: int) -> dict[str, int]:
    """How many deliveries are due again."""
    logs.note(deliveries=number)
    return {"replayed": number}
