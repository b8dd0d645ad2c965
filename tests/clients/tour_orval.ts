// A tour through the API with the client that orval generates.

import { deepEqual, equal, ok } from "node:assert/strict";
import {
  changeLead,
  createLead,
  createLeads,
  eraseLead,
  LeadStatus,
  listLeadEvents,
  listLeads,
  showLead,
  type LeadChanges,
  type NewLead,
} from "./orval.js";

const [key] = process.argv.slice(3);
const Authorization = `Bearer ${key}`;
const options: RequestInit = { headers: { Authorization } };

// Create.
const john: NewLead = {
  full_name: "John Doe",
  email: "john@orval.example.com",
  company: "Example Inc",
  attributes: { phone: "+1 555 0100" },
};
const created = await createLead(john, options);
ok(created.status === 201);
const lead = created.data;
equal(lead.status, LeadStatus.new);
equal(lead.message, null);
equal(lead.attributes["phone"], "+1 555 0100");

// Create a duplicate: refused, and merged.
const refused = await createLead(john, options);
ok(refused.status === 409);
equal(refused.data.detail, "Lead with this email already exists.");
const merged = await createLead(john, { headers: { Authorization, Prefer: "resolution=merge-duplicates" } });
equal(merged.status, 200);

// Capture a batch.
const jane = (name: string): NewLead => ({ full_name: "Jane Doe", email: `${name}@orval.example.com` });
const items = [jane("jane.1"), jane("jane.2"), john, { full_name: "Jane Doe", email: "jane" }];
const batch = await createLeads({ items }, options);
ok(batch.status === 200);
const told = batch.data.items.map((verdict) => {
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
  const page = await listLeads({ limit: 2, after }, options);
  ok(page.status === 200);
  seen.push(...page.data.items.map((each) => each.id));
  after = /[?&]after=([\w-]+)/.exec(page.headers.get("Link") ?? "")?.[1];
} while (after);
ok(seen.includes(lead.id) && seen.length >= 3);

// Change it, if it is as last seen.
const shown = await showLead(lead.id, options);
const current: RequestInit = { headers: { Authorization, "If-Match": shown.headers.get("ETag") ?? "" } };
const changes: LeadChanges = { status: LeadStatus.qualified, company: null };
const changed = await changeLead(lead.id, changes, current);
ok(changed.status === 200);
deepEqual([changed.data.status, changed.data.company], [LeadStatus.qualified, null]);
equal((await changeLead(lead.id, changes, current)).status, 412);

// Read its history.
const history = await listLeadEvents(lead.id, undefined, options);
ok(history.status === 200);
const happened = history.data.items.map((event) => {
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
equal((await eraseLead(lead.id, options)).status, 204);
equal((await showLead(lead.id, options)).status, 404);
const rest = await listLeadEvents(lead.id, undefined, options);
ok(rest.status === 200);
deepEqual(rest.data.items.map((event) => event.type), ["lead.erased"]);
console.log("orval: fine");
