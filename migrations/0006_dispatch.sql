-- Documents to the services of the town: who may receive them and how, by which rules,
-- what was sent in which parts. What became of a part is its letter's to say.

-- +goose Up

CREATE TABLE service (                   -- files go to these mailboxes and no other (SEC-53)
  tenant_id   uuid NOT NULL REFERENCES tenant,
  id          uuid NOT NULL,
  code        text NOT NULL CHECK (code ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  name        text NOT NULL,
  mailbox     text NOT NULL CHECK (mailbox !~ '[[:space:][:cntrl:]]'),
  language    text NOT NULL CHECK (language IN ('fr','en')),
  max_bytes   bigint NOT NULL CHECK (max_bytes > 0), -- of a message, as it is sent
  links_only  boolean NOT NULL,
  template    text NOT NULL,             -- of file names
  ascii       boolean NOT NULL,          -- file names in ASCII
  certificate bytea,                     -- DER: messages are encrypted to it; NULL: they are not
  created_at  timestamptz NOT NULL,
  removed_at  timestamptz,               -- from then on it receives nothing
  PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX service_code ON service (tenant_id, code) WHERE removed_at IS NULL;

CREATE TABLE service_agent (             -- who works there, and may open its links
  tenant_id  uuid NOT NULL,
  service_id uuid NOT NULL,
  agent_id   uuid NOT NULL,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, service_id, agent_id),
  FOREIGN KEY (tenant_id, service_id) REFERENCES service,
  FOREIGN KEY (tenant_id, agent_id) REFERENCES agent
);

CREATE TABLE service_rule (              -- a document of this type goes there by itself
  tenant_id  uuid NOT NULL,
  service_id uuid NOT NULL,
  type       text NOT NULL,              -- catalogue code
  moment     text NOT NULL CHECK (moment IN ('filed','validated')),
  purpose    text NOT NULL,              -- the town's words, of no person
  created_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, service_id, type),
  FOREIGN KEY (tenant_id, service_id) REFERENCES service
);
CREATE INDEX service_rule_type ON service_rule (tenant_id, type);

CREATE TABLE dispatch (
  tenant_id     uuid NOT NULL,
  citizen_id    uuid NOT NULL,
  id            uuid NOT NULL,
  service_id    uuid NOT NULL,
  agent_id      uuid,                    -- who selected the documents
  rule_document uuid,                    -- or the document that a rule sent by itself,
  rule_version  int,                     -- and the version of it
  purpose       text NOT NULL,           -- of a rule; an agent's words are sealed
  sealed        bytea,                   -- box of the vault: an agent's purpose
  sending       int NOT NULL CHECK (sending > 0), -- the latest; earlier ones were sent anew
  created_at    timestamptz NOT NULL,
  cancelled_at  timestamptz,
  PRIMARY KEY (tenant_id, citizen_id, id),
  UNIQUE (tenant_id, citizen_id, service_id, rule_document, rule_version), -- by itself a version goes once
  CHECK ((agent_id IS NULL) = (rule_document IS NOT NULL)),
  CHECK ((rule_document IS NULL) = (rule_version IS NULL)),
  CHECK (agent_id IS NULL OR purpose = ''),
  FOREIGN KEY (tenant_id, citizen_id) REFERENCES citizen,
  FOREIGN KEY (tenant_id, service_id) REFERENCES service,
  FOREIGN KEY (tenant_id, agent_id) REFERENCES agent
);
CREATE INDEX dispatch_recent ON dispatch (tenant_id, created_at);

CREATE TABLE dispatch_part (             -- one mail; its letter has the part's id as object
  tenant_id   uuid NOT NULL,
  citizen_id  uuid NOT NULL,
  dispatch_id uuid NOT NULL,
  id          uuid NOT NULL,
  sending     int NOT NULL,
  n           int NOT NULL CHECK (n > 0),
  created_at  timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, citizen_id, id),
  UNIQUE (tenant_id, citizen_id, dispatch_id, sending, n),
  FOREIGN KEY (tenant_id, citizen_id, dispatch_id) REFERENCES dispatch
);

CREATE TABLE dispatch_document (         -- names a document that may have left the vault since: no reference
  tenant_id   uuid NOT NULL,
  citizen_id  uuid NOT NULL,
  part_id     uuid NOT NULL,
  id          uuid NOT NULL,             -- what a link to it names
  n           int NOT NULL CHECK (n > 0),-- its place in the whole dispatch
  document_id uuid NOT NULL,
  link        boolean NOT NULL,          -- goes as a link, not as a file
  PRIMARY KEY (tenant_id, citizen_id, id),
  UNIQUE (tenant_id, citizen_id, part_id, n),
  FOREIGN KEY (tenant_id, citizen_id, part_id) REFERENCES dispatch_part
);
CREATE INDEX dispatch_document_found ON dispatch_document (tenant_id, citizen_id, document_id);

-- What a link may do is said by core/link; the form is checked here.
ALTER TABLE link DROP CONSTRAINT link_purpose_check, ADD CONSTRAINT link_purpose_check CHECK (purpose ~ '^[a-z]+(_[a-z]+)*$');
CREATE INDEX link_hash ON link (tenant_id, keyed_hash); -- an agent's link is found without a vault

-- +goose StatementBegin
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['service','service_agent','service_rule','dispatch','dispatch_part','dispatch_document'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY own_tenant ON %I USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()))', t);
  END LOOP;
END $$;
-- +goose StatementEnd

-- The town's administrators and agents.
GRANT SELECT, INSERT, UPDATE (name, mailbox, language, max_bytes, links_only, template, ascii, certificate, removed_at) ON service TO vaguemestre_http;
GRANT SELECT, INSERT, DELETE ON service_agent, service_rule TO vaguemestre_http;
GRANT SELECT, INSERT, UPDATE (sending, cancelled_at) ON dispatch TO vaguemestre_http;
GRANT SELECT, INSERT ON dispatch_part, dispatch_document TO vaguemestre_http;

-- A worker that files a document obeys the rules for its type.
GRANT SELECT ON service, service_rule, dispatch TO vaguemestre_worker;
GRANT INSERT ON dispatch, dispatch_part, dispatch_document TO vaguemestre_worker;

-- The mailer composes: it reads who receives what of whom. The boxes are the keeper's to open.
GRANT SELECT ON service, service_rule, dispatch, dispatch_part, dispatch_document, agent TO vaguemestre_mailer;
GRANT SELECT (tenant_id, id, identity) ON citizen TO vaguemestre_mailer;
