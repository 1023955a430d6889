"""The steps of a rental, as both Python peers take them: Postgres for the catalogue, the dashboard and the messages, HTTP for the
payment provider. Each may be repeated."""
import os

import aiohttp
import asyncpg

PROVIDER = os.environ["HOLDFAST_SIMULATOR_URL"]
FEE = {"amount_minor": 3000, "currency": "KRW"}

database: asyncpg.Pool
provider: aiohttp.ClientSession


async def connect():
    global database, provider
    database = await asyncpg.create_pool(os.environ["PEER_DATABASE_URL"], min_size=1, max_size=20)
    provider = aiohttp.ClientSession(PROVIDER, timeout=aiohttp.ClientTimeout(total=5))


async def show(rental: str, book: int, stage: str):
    await database.execute(
        "insert into rentals (id, book, stage) values ($1, $2, $3) on conflict (id) do update set stage = excluded.stage",
        rental, book, stage)


async def stage(rental: str):
    return await database.fetchval("select stage from rentals where id = $1", rental)


async def hold(rental: str, book: int) -> bool:
    took = "update books set rental = $1 where id = $2 and (rental is null or rental = $1)"
    return await database.execute(took, rental, book) == "UPDATE 1"


async def confirm(rental: str):
    await database.execute("update books set is_lent = true where rental = $1", rental)


async def release(rental: str):
    await database.execute("update books set rental = null, is_lent = false where rental = $1", rental)


async def tell(rental: str, about: str):
    await database.execute("insert into messages values ($1, $2) on conflict do nothing", rental, about)


async def charge(rental: str, customer: str) -> bool:
    order = FEE | {"customer": customer}
    async with provider.post("/charges", json=order, headers={"Idempotency-Key": rental}) as answer:
        if answer.status == 402:
            return False
        answer.raise_for_status()
        return True


async def refund(rental: str):
    async with provider.post(f"/charges/{rental}/refund") as answer:
        answer.raise_for_status()
