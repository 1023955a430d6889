// An OpenID Connect provider to sign in at: whoever comes is who they say they are, with the roles that they say they have.
// `node provider.js PORT CLIENT SECRET REDIRECT_URI`: prints a line when it is ready. For tests only.
import { createServer } from "node:http";
import Provider from "oidc-provider";

const [port, client, secret, redirect] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const accounts = new Map();

const provider = new Provider(issuer, {
  clients: [{ client_id: client, client_secret: secret, redirect_uris: [redirect], grant_types: ["authorization_code"] }],
  claims: { openid: ["sub"], profile: ["roles"] },
  conformIdTokenClaims: false,
  features: { devInteractions: { enabled: false } },
  pkce: { required: () => true },
  cookies: { keys: ["for tests only"] },
  interactions: { url: (_, interaction) => `/enter/${interaction.uid}` },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, roles: accounts.get(id) ?? [] }) }),
});

const page = `<!doctype html><title>Provider</title><form method="post">
<input name="subject" id="subject"><input name="roles" id="roles"><button id="enter">Enter</button></form>`;

async function enter(request, response) {
  if (request.method === "GET") {
    response.setHeader("content-type", "text/html");
    response.end(page);
    return;
  }
  let body = "";
  for await (const part of request) body += part;
  const form = new URLSearchParams(body);
  const subject = form.get("subject");
  accounts.set(subject, form.get("roles").split(" "));
  const { params, grantId } = await provider.interactionDetails(request, response);
  const grant = grantId ? await provider.Grant.find(grantId) : new provider.Grant({ accountId: subject, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  const result = { login: { accountId: subject }, consent: { grantId: await grant.save() } };
  await provider.interactionFinished(request, response, result);
}

createServer((request, response) => {
  if (!request.url.startsWith("/enter/")) return provider.callback()(request, response);
  enter(request, response).catch((error) => { response.statusCode = 500; response.end(String(error)); });
}).listen(Number(port), "127.0.0.1", () => console.log("ready"));
