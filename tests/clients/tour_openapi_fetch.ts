// A tour through the API with openapi-fetch, on the types that openapi-typescript generates.

import { deepEqual, equal, ok } from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

const [url, key] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${key}` } });

// Create.
const john: components["schemas"]["NewLead"] = {
  full_name: "John Doe",
  email: "john@fetch.example.com",
  company: "Example Inc",
  attributes: { phone: "+1 555 0100" },
};
const created = await client.POST("/leads", { body: john });
equal(created.response.status, 201);
ok(created.data);
const lead = created.data;
equal(lead.status satisfies components["schemas"]["LeadStatus"], "new");
equal(lead.message, null);
equal(lead.attributes["phone"], "+1 555 0100");

// Create a duplicate: refused, and merged.
const refused = await client.POST("/leads", { body: john });
equal(refused.response.status, 409);
equal(refused.error?.detail, "Lead with this email already exists.");
const merged = await client.POST("/leads", {
  body: john,
  params: { header: { Prefer: "resolution=merge-duplicates" } },
});
equal(merged.response.status, 200);

// Capture a batch.
const jane = (name: string) => ({ full_name: "Jane Doe", email: `${name}@fetch.example.com` });
const items = [jane("jane.1"), jane("jane.2"), john, { full_name: "Jane Doe", email: "jane" }];
const batch = await client.POST("/leads/batch", { body: { items } });
const told = (batch.data?.items ?? []).map((verdict) => {
  switch (verdict.status) {
    case 409:
      return verdict.detail;
    case 422:
      return Object.keys(verdict.errors).join();
    default:
      return verdict.lead.email;
  }
});
deepEqual(told, [items[0].email, items[1].email, "Lead with this email already exists.", "email"]);

// List by cursor.
const seen: number[] = [];
let after: string | undefined;
do {
  const { data, response } = await client.GET("/leads", { params: { query: { limit: 2, after } } });
  ok(data);
  seen.push(...data.items.map((each) => each.id));
  after = /[?&]after=([\w-]+)/.exec(response.headers.get("Link") ?? "")?.[1];
} while (after);
ok(seen.includes(lead.id) && seen.length >= 3);

// Change it, if it is as last seen.
const path = { lead_id: lead.id };
const shown = await client.GET("/leads/{lead_id}", { params: { path } });
const header = { "If-Match": shown.response.headers.get("ETag") ?? "" };
const changes: components["schemas"]["LeadChanges"] = { status: "qualified", company: null };
const changed = await client.PATCH("/leads/{lead_id}", { params: { path, header }, body: changes });
equal(changed.data?.status, "qualified");
equal(changed.data?.company, null);
const stale = await client.PATCH("/leads/{lead_id}", { params: { path, header }, body: changes });
equal(stale.response.status, 412);

// Read its history.
const history = await client.GET("/leads/{lead_id}/events", { params: { path } });
const happened = (history.data?.items ?? []).map((event) => {
  switch (event.type) {
    case "lead.created":
      return event.data.full_name;
    case "lead.repeated":
      return event.data.sent.email;
    case "lead.updated":
      return event.data.changes["status"]?.to;
    case "lead.erased":
      return event.id;
  }
});
deepEqual(happened, ["John Doe", john.email, "qualified"]);

// Erase it.
const erased = await client.DELETE("/leads/{lead_id}", { params: { path } });
equal(erased.response.status, 204);
equal((await client.GET("/leads/{lead_id}", { params: { path } })).error?.detail, "There is no lead with this id.");
const rest = await client.GET("/leads/{lead_id}/events", { params: { path } });
deepEqual(rest.data?.items.map((event) => event.type), ["lead.erased"]);
console.log("openapi-fetch: fine");
