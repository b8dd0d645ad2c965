"""How many downloads run at the same time."""

from conftest import MakeApp


def test_a_download_that_ends_in_any_way_makes_room_for_another(make_app: MakeApp, database_url: str) -> None:
    client = make_app(DATABASE_URL=database_url, THREADS="2").test_client()

    read = client.get("/leads/export")
    read.get_data()
    refused = client.get("/leads/export?format=xlsx")
    headed = client.head("/leads/export")
    headed.close()
    open_one = client.get("/leads/export")
    second = client.get("/leads/export")
    open_one.close()
    third = client.get("/leads/export")
    third.close()

    statuses = [answer.status_code for answer in (read, refused, headed, open_one, second, third)]
    assert statuses == [200, 422, 200, 200, 503, 200]
    assert second.headers["Retry-After"]
