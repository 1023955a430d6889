"""A rental in the ordinary way on DBOS, behind FastAPI as its quickstart has it."""
import os
from contextlib import asynccontextmanager

import uvicorn
from dbos import DBOS, DBOSConfig, SetWorkflowID
from fastapi import FastAPI
from fastapi.responses import JSONResponse

import story

DAY = 86_400
config: DBOSConfig = {"name": "peer-dbos", "system_database_url": os.environ["PEER_DATABASE_URL"], "application_version": "1"}
DBOS(config=config)
RETRIED = {"retries_allowed": True, "interval_seconds": 0.2, "max_attempts": 100}

show = DBOS.step(**RETRIED)(story.show)
hold = DBOS.step(**RETRIED)(story.hold)
confirm = DBOS.step(**RETRIED)(story.confirm)
release = DBOS.step(**RETRIED)(story.release)
tell = DBOS.step(**RETRIED)(story.tell)
charge = DBOS.step(**RETRIED)(story.charge)
refund = DBOS.step(**RETRIED)(story.refund)


@DBOS.workflow()
async def rent(rental: str, book: int, customer: str):
    await show(rental, book, "requested")
    if not await hold(rental, book):
        await show(rental, book, "taken")
        return await DBOS.set_event_async("held", "taken")
    await show(rental, book, "held")
    await DBOS.set_event_async("held", "held")
    if not await charge(rental, customer):
        await release(rental)
        return await show(rental, book, "declined")
    await show(rental, book, "paid")
    await tell(rental, "paid")
    verdict = await DBOS.recv_async("verdict", timeout_seconds=DAY)
    if verdict != "approve":
        await refund(rental)
        await release(rental)
        return await show(rental, book, "rejected")
    await show(rental, book, "approved")
    await confirm(rental)
    await tell(rental, "approved")
    await DBOS.recv_async("return", timeout_seconds=DAY)
    await release(rental)
    await tell(rental, "returned")
    await show(rental, book, "returned")


@asynccontextmanager
async def lifespan(_):
    await story.connect()
    DBOS.launch()
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/rentals")
async def begin(body: dict):
    with SetWorkflowID(body["id"]):
        await DBOS.start_workflow_async(rent, body["id"], body["book"], body["customer"])
    stage = await DBOS.get_event_async(body["id"], "held")
    return JSONResponse({"stage": stage}, status_code=409 if stage == "taken" else 201)


@app.get("/rentals/{rental}")
async def look(rental: str):
    return {"stage": await story.stage(rental)}


@app.post("/rentals/{rental}/{act}")
async def act(rental: str, act: str):
    await DBOS.send_async(rental, act, topic="return" if act == "return" else "verdict", idempotency_key=f"{rental}-{act}")
    return {}


uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PEER_PORT"]), log_level="warning")
