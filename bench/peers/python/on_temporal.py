"""A rental in the ordinary way on Temporal's Python SDK, behind a small HTTP API."""
import asyncio
import os
from datetime import timedelta

from temporalio import activity, common, workflow
from temporalio.client import Client, WithStartWorkflowOperation
from temporalio.worker import Worker

# What is not passed through is imported anew for every workflow.
with workflow.unsafe.imports_passed_through():
    from aiohttp import web

    import story

QUEUE = "peer-python"
STEP = {"start_to_close_timeout": timedelta(seconds=5), "retry_policy": common.RetryPolicy(initial_interval=timedelta(milliseconds=200))}


@activity.defn
async def show(rental: str, book: int, stage: str) -> None:
    await story.show(rental, book, stage)


@activity.defn
async def hold(rental: str, book: int) -> bool:
    return await story.hold(rental, book)


@activity.defn
async def confirm(rental: str) -> None:
    await story.confirm(rental)


@activity.defn
async def release(rental: str) -> None:
    await story.release(rental)


@activity.defn
async def tell(rental: str, about: str) -> None:
    await story.tell(rental, about)


@activity.defn
async def charge(rental: str, customer: str) -> bool:
    return await story.charge(rental, customer)


@activity.defn
async def refund(rental: str) -> None:
    await story.refund(rental)


@workflow.defn
class Rental:
    def __init__(self):
        self.stage, self.verdict, self.is_back = "requested", None, False

    @workflow.run
    async def run(self, rental: str, book: int, customer: str):
        await self.reach(rental, book, "requested")
        if not await self.step(hold, rental, book):
            return await self.reach(rental, book, "taken")
        try:
            await self.reach(rental, book, "held")
            if not await self.step(charge, rental, customer):
                await self.step(release, rental)
                return await self.reach(rental, book, "declined")
            await self.reach(rental, book, "paid")
            told = [self.step(tell, rental, "paid")]
            await workflow.wait_condition(lambda: self.verdict is not None)
            if self.verdict == "reject":
                await self.step(refund, rental)
                await self.step(release, rental)
                return await self.reach(rental, book, "rejected")
            await self.reach(rental, book, "approved")
            told += [self.step(tell, rental, "approved"), self.step(confirm, rental)]
            await workflow.wait_condition(lambda: self.is_back)
            await self.step(release, rental)
            told.append(self.step(tell, rental, "returned"))
            await asyncio.gather(*told)
            await self.reach(rental, book, "returned")
        except asyncio.CancelledError:
            await self.step(refund, rental)
            await self.step(release, rental)
            raise

    @workflow.update
    async def held(self) -> str:
        await workflow.wait_condition(lambda: self.stage != "requested")
        return self.stage

    @workflow.update
    def decide(self, verdict: str) -> None:
        self.verdict = verdict

    @workflow.update
    def bring_back(self) -> None:
        self.is_back = True

    def step(self, what, *arguments):
        return workflow.start_activity(what, args=arguments, **STEP)

    async def reach(self, rental, book, stage):
        await workflow.execute_local_activity(show, args=[rental, book, stage], **STEP)
        self.stage = stage


async def main():
    await story.connect()
    client = await Client.connect(os.environ["TEMPORAL_ADDRESS"], namespace=os.environ["TEMPORAL_NAMESPACE"])

    async def begin(request):
        body = await request.json()
        started = WithStartWorkflowOperation(
            Rental.run, args=[body["id"], body["book"], body["customer"]], id=f"python/{body['id']}", task_queue=QUEUE,
            id_conflict_policy=common.WorkflowIDConflictPolicy.USE_EXISTING)
        stage = await client.execute_update_with_start_workflow(Rental.held, start_workflow_operation=started)
        return web.json_response({"stage": stage}, status=409 if stage == "taken" else 201)

    async def look(request):
        return web.json_response({"stage": await story.stage(request.match_info["id"])})

    async def act(request):
        rental = client.get_workflow_handle(f"python/{request.match_info['id']}")
        if request.match_info["act"] == "return":
            await rental.execute_update(Rental.bring_back)
        else:
            await rental.execute_update(Rental.decide, request.match_info["act"])
        return web.json_response({})

    app = web.Application()
    app.add_routes([web.post("/rentals", begin), web.get("/rentals/{id}", look), web.post("/rentals/{id}/{act}", act)])
    runner = web.AppRunner(app)
    await runner.setup()
    activities = [show, hold, confirm, release, tell, charge, refund]
    async with Worker(client, task_queue=QUEUE, workflows=[Rental], activities=activities):
        await web.TCPSite(runner, "127.0.0.1", int(os.environ["PEER_PORT"])).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
