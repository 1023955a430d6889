"""A notification worker in Python: the same contract as the one in Rust, with a file instead of Postgres and a log line instead of
a mail.

It keeps docs/contracts/notification.send.json and notification.told.json: one message for each booking and stage, however often and however late it is asked
for. `holdfast conformance --queue notification` puts that to the test.
"""

import asyncio
import hmac
import json
import logging
import os
import signal
import sqlite3
import threading
import uuid
from dataclasses import dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

QUEUE = "notification"
GRACE = timedelta(seconds=10)

log = logging.getLogger("notification")


@dataclass(frozen=True)
class Notice:
    """What a saga asks for. Fields that are new are none of our business."""

    booking: str
    system: str
    stage: str
    customer: str
    item: int
    item_name: str | None
    was_told: bool

    @staticmethod
    def read(given: object) -> "Notice":
        """Raises ApplicationError for what makes no sense: an error means "not known yet", and somebody can mend it."""
        if not isinstance(given, dict):
            raise ApplicationError("expected an object", type="malformed")
        for name in ("booking", "system", "stage", "customer"):
            if not isinstance(given.get(name), str) or not given[name]:
                raise ApplicationError(f"{name}: expected text", type="malformed")
        try:
            booking = str(uuid.UUID(given["booking"]))
        except ValueError:
            raise ApplicationError("booking: expected a UUID", type="malformed") from None
        item = given.get("item", 0)
        if not isinstance(item, int):
            raise ApplicationError("item: expected a number", type="malformed")
        return Notice(booking, given["system"], given["stage"], given["customer"], item, given.get("item_name"),
                      given.get("was_told") is True)


class Messages:
    """What was sent. The key of a message is its booking and stage, and the table says so, not an `if`."""

    def __init__(self, file: str) -> None:
        self.lock = threading.Lock()
        self.database = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        self.database.execute("pragma journal_mode = wal")
        self.database.execute(
            "create table if not exists messages (message integer primary key, booking text not null, system text not null,"
            " stage text not null, customer text not null, item integer not null, text text not null,"
            " sent_at text not null default (strftime('%Y-%m-%dT%H:%M:%SZ')), unique (booking, stage))"
        )

    def send(self, notice: Notice) -> None:
        """Sends a message, once. Writing it down is sending it here; who sends mails asks a provider with the same key."""
        text = f"{notice.item_name or 'Your booking'}: {notice.stage}"
        with self.lock:
            done = self.database.execute(
                "insert into messages (booking, system, stage, customer, item, text) values (?, ?, ?, ?, ?, ?)"
                " on conflict (booking, stage) do nothing",
                (notice.booking, notice.system, notice.stage, notice.customer, notice.item, text),
            )
        if done.rowcount and not notice.was_told:
            log.info("told the customer of %s that it is %s", notice.booking, notice.stage)

    def told(self, bookings: list[str]) -> list[dict]:
        """The stages that customers were told of, for a comparison with what sagas were answered."""
        with self.lock:
            rows = self.database.execute(
                "select booking, json_group_array(stage) from messages where booking in (select value from json_each(?))"
                " group by booking",
                (json.dumps(bookings),),
            ).fetchall()
        return [{"booking": booking, "stages": json.loads(stages)} for booking, stages in rows]

    def of(self, system: str, booking: str | None, customer: str | None, after: int, limit: int) -> list[dict]:
        """Messages as the gateway reads them, oldest first."""
        with self.lock:
            rows = self.database.execute(
                "select message, booking, item, text, stage, sent_at from messages where system = ? and (? is null or booking = ?)"
                " and (? is null or customer = ?) and message > ? order by message limit ?",
                (system, booking, booking, customer, customer, after, limit),
            ).fetchall()
        names = ("msgId", "booking", "item", "content", "stage", "sentDate")
        return [dict(zip(names, row)) | {"state": "sent", "language": "en"} for row in rows]


def activity_of(messages: Messages):
    """The activity that the sagas call."""

    @activity.defn(name="notification.send")
    async def send(given: Any) -> None:
        messages.send(Notice.read(given))

    return send


def told_of(messages: Messages):
    """The activity that `holdfast reconcile` calls."""

    @activity.defn(name="notification.told")
    async def told(bookings: list[str]) -> list[dict]:
        return messages.told(bookings)

    return told


def http_side(messages: Messages, address: str, secret: str) -> ThreadingHTTPServer:
    """`GET /messages/{system}?booking&customer&after&limit`, for whoever shows the service secret."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            asked = {name: values[0] for name, values in parse_qs(url.query).items()}
            parts = url.path.strip("/").split("/")
            known = hmac.compare_digest(self.headers.get("authorization", ""), f"Bearer {secret}")
            if not known or len(parts) != 2 or parts[0] != "messages":
                return self.answer(404, None)
            try:
                after, limit = int(asked.get("after", 0)), min(int(asked.get("limit", 50)), 200)
            except ValueError:
                return self.answer(400, None)
            return self.answer(200, messages.of(parts[1], asked.get("booking"), asked.get("customer"), after, limit))

        def answer(self, status: int, body: object) -> None:
            text = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Paths hold ids: they are nobody's business in a log."""

    host, port = address.rsplit(":", 1)
    return ThreadingHTTPServer((host, int(port)), Handler)


async def run(messages: Messages, send) -> None:
    """Works until it is told to end."""
    address = os.environ.get("HOLDFAST_NOTIFICATION_HTTP", "127.0.0.1:8183")
    http = http_side(messages, address, os.environ["HOLDFAST_SERVICE_SECRET"])
    threading.Thread(target=http.serve_forever, daemon=True).start()
    client = await Client.connect(
        os.environ.get("TEMPORAL_ADDRESS", "127.0.0.1:7233"), namespace=os.environ.get("TEMPORAL_NAMESPACE", "holdfast")
    )
    stop = asyncio.Event()
    for asked in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(asked, stop.set)
    worker = Worker(client, task_queue=QUEUE, activities=[send, told_of(messages)], graceful_shutdown_timeout=GRACE)
    async with worker:
        log.info("working on the queue %s", QUEUE)
        await stop.wait()
    http.shutdown()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    kept = Messages(os.environ.get("HOLDFAST_NOTIFICATION_FILE", "notifications.db"))
    asyncio.run(run(kept, activity_of(kept)))
