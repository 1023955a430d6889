"""Notification workers that break their contract, each in one way: `broken.py FAULT`. The conformance kit has to find each."""

import asyncio
import os
import sys
from typing import Any

sys.path.insert(0, os.environ["HOLDFAST_EXAMPLE"])
from temporalio import activity  # noqa: E402
import worker  # noqa: E402

FAULT = sys.argv[1]


class Messages(worker.Messages):
    """Forgets that it has sent something, in different ways."""

    def __init__(self, file):
        super().__init__(file)
        self.database.execute("drop table messages")
        unique = {"forgetful": "", "hasty": "", "one-track": ", unique (booking)"}.get(FAULT, ", unique (booking, stage)")
        self.database.execute(
            "create table messages (message integer primary key, booking text not null, system text not null,"
            " stage text not null, customer text not null, item integer not null default 0, text text not null default '',"
            f" sent_at text{unique})"
        )

    def send(self, notice):
        with self.lock:
            self.database.execute(
                "insert or ignore into messages (booking, system, stage, customer) values (?, ?, ?, ?)",
                (notice.booking, notice.system, notice.stage, notice.customer),
            )


MESSAGES = Messages(os.environ["HOLDFAST_NOTIFICATION_FILE"])
KNOWN = {"booking", "system", "stage", "customer", "item", "item_name", "reason", "money", "was_told"}


@activity.defn(name="notification.send")
async def send(given: Any) -> None:
    if FAULT == "polite" and (not isinstance(given, dict) or "booking" not in given):
        return  # Says that all is well with what it did not understand.
    if FAULT == "strict" and isinstance(given, dict) and not set(given) <= KNOWN:
        raise RuntimeError("what is this?")
    notice = worker.Notice.read(given)
    if FAULT == "hasty":
        # Looks whether it has sent it, and sends it later: two at the same moment both send.
        if any(one["stage"] == notice.stage for one in MESSAGES.of(notice.system, notice.booking, None, 0, 9)):
            return
        await asyncio.sleep(0.3)
    MESSAGES.send(notice)


asyncio.run(worker.run(MESSAGES, send))
