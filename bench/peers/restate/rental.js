// A rental in the ordinary way on Restate: a workflow whose steps are `ctx.run`, and whose people answer durable promises.
import * as restate from "@restatedev/restate-sdk";
import pg from "pg";

const provider = process.env.HOLDFAST_SIMULATOR_URL;
const database = new pg.Pool({ connectionString: process.env.PEER_DATABASE_URL, max: 20 });
const fee = { amount_minor: 3000, currency: "KRW" };
const query = (text, ...values) => database.query(text, values);

// The steps: each may be repeated.
const show = (rental, book, stage) =>
  query("insert into rentals (id, book, stage) values ($1, $2, $3) on conflict (id) do update set stage = excluded.stage", rental, book, stage);
const hold = async (rental, book) =>
  (await query("update books set rental = $1 where id = $2 and (rental is null or rental = $1)", rental, book)).rowCount === 1;
const confirm = (rental) => query("update books set is_lent = true where rental = $1", rental);
const release = (rental) => query("update books set rental = null, is_lent = false where rental = $1", rental);
const tell = (rental, about) => query("insert into messages values ($1, $2) on conflict do nothing", rental, about);

async function post(path, headers, body) {
  const answer = await fetch(provider + path, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(5000),
  });
  await answer.arrayBuffer();
  if (!answer.ok && answer.status !== 402) throw new Error(`the provider answered ${answer.status}`);
  return answer.ok;
}
const charge = (rental, customer) => post("/charges", { "idempotency-key": rental }, { ...fee, customer });
const refund = (rental) => post(`/charges/${rental}/refund`, {});

const retried = { initialRetryInterval: { milliseconds: 200 } };
// Nothing of what Postgres answers is kept in the journal.
const step = (ctx, name, work) => ctx.run(name, () => work().then((done) => (typeof done === "boolean" ? done : undefined)), retried);

const rental = restate.workflow({
  name: "rental",
  handlers: {
    run: async (ctx, { book, customer }) => {
      const reach = (stage) => step(ctx, stage, () => show(ctx.key, book, stage));
      await reach("requested");
      if (!(await step(ctx, "hold", () => hold(ctx.key, book)))) {
        await reach("taken");
        return ctx.promise("held").resolve("taken");
      }
      await reach("held");
      await ctx.promise("held").resolve("held");
      if (!(await step(ctx, "charge", () => charge(ctx.key, customer)))) {
        await step(ctx, "release", () => release(ctx.key));
        return reach("declined");
      }
      await reach("paid");
      await step(ctx, "tell paid", () => tell(ctx.key, "paid"));
      if ((await ctx.promise("verdict")) !== "approve") {
        await step(ctx, "refund", () => refund(ctx.key));
        await step(ctx, "release", () => release(ctx.key));
        return reach("rejected");
      }
      await reach("approved");
      await step(ctx, "confirm", () => confirm(ctx.key));
      await step(ctx, "tell approved", () => tell(ctx.key, "approved"));
      await ctx.promise("return");
      await step(ctx, "release", () => release(ctx.key));
      await step(ctx, "tell returned", () => tell(ctx.key, "returned"));
      return reach("returned");
    },
    held: (ctx) => ctx.promise("held"),
    act: (ctx, act) => ctx.promise(act === "return" ? "return" : "verdict").resolve(act),
  },
});

const board = restate.service({
  name: "board",
  handlers: { stage: async (_, id) => (await query("select stage from rentals where id = $1", id)).rows[0]?.stage ?? null },
});

restate.serve({ services: [rental, board], port: Number(process.env.PEER_PORT) });
