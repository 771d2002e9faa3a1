-- The words of DESIGN.md as tables. Outside row-level security stand only tenant
-- and address, which hold nothing personal: RCPT and the workers find their tenant
-- there. Every other table is isolated by tenant, FORCEd, so that not even the owner
-- reads across (SEC-04). Without a tenant set in the transaction, every query
-- returns nothing (SEC-05).

-- +goose Up

-- One group role per process role; a process's pool does SET ROLE (SECURITY.md §2).
-- Roles belong to the cluster: another database may have created them, even just now.
-- +goose StatementBegin
DO $$
DECLARE r text;
BEGIN
  FOREACH r IN ARRAY ARRAY['smtp','imap','upload','post','http','worker','scheduler','mailer','keeper'] LOOP
    BEGIN
      EXECUTE format('CREATE ROLE vaguemestre_%s NOLOGIN NOSUPERUSER NOBYPASSRLS', r);
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
    END;
  END LOOP;
END $$;
-- +goose StatementEnd

REVOKE CREATE ON SCHEMA public FROM PUBLIC;

-- The tenant of this transaction; NULL when none was set.
CREATE FUNCTION current_tenant() RETURNS uuid
  LANGUAGE sql STABLE PARALLEL SAFE
  AS $$ SELECT nullif(current_setting('vaguemestre.tenant', true), '')::uuid $$;

CREATE TABLE tenant (
  id             uuid PRIMARY KEY,
  code           text NOT NULL UNIQUE CHECK (code ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  name           text NOT NULL,
  intake_public  bytea NOT NULL,         -- public keyset: accepting roles can only encrypt (SEC-23)
  created_at     timestamptz NOT NULL
);

CREATE TABLE address (
  keyed_hash bytea PRIMARY KEY,          -- of the canonical address: lookup without knowing a tenant (SEC-45)
  tenant_id  uuid NOT NULL REFERENCES tenant,
  id         uuid NOT NULL,
  UNIQUE (tenant_id, id)
);

CREATE TABLE tenant_settings (           -- a new version at each change; the highest is in force
  tenant_id  uuid NOT NULL REFERENCES tenant,
  version    int  NOT NULL CHECK (version > 0),
  settings   jsonb NOT NULL,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, version)
);

CREATE TABLE catalogue (                 -- likewise
  tenant_id  uuid NOT NULL REFERENCES tenant,
  version    int  NOT NULL CHECK (version > 0),
  content    text NOT NULL,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, version)
);

CREATE TABLE tenant_key (                -- private intake keyset, wrapped by the tenant's KEK; the keeper's alone
  tenant_id  uuid PRIMARY KEY REFERENCES tenant,
  wrapped    bytea NOT NULL,
  created_at timestamptz NOT NULL
);

CREATE TABLE agent (
  tenant_id  uuid NOT NULL REFERENCES tenant,
  id         uuid NOT NULL,
  identity   bytea NOT NULL,             -- sealed to the tenant's intake key
  created_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, id)
);

CREATE TABLE citizen (
  tenant_id  uuid NOT NULL REFERENCES tenant,
  id         uuid NOT NULL,
  identity   bytea NOT NULL,             -- box under the vault key
  reading_consent_version text,          -- of the text consented to; NULL: never asked or refused (SEC-102)
  reading_consent_at      timestamptz,
  reading_consent_revoked timestamptz,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, id)
);

CREATE TABLE vault_key (                 -- wrapped by the tenant's KEK; the keeper's alone
  tenant_id  uuid NOT NULL,
  citizen_id uuid NOT NULL,
  wrapped    bytea NOT NULL,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, citizen_id),
  FOREIGN KEY (tenant_id, citizen_id) REFERENCES citizen DEFERRABLE INITIALLY DEFERRED
);

CREATE TABLE deposit_address (
  tenant_id  uuid NOT NULL,
  id         uuid NOT NULL,
  citizen_id uuid NOT NULL,
  slot_id    uuid,                       -- a slot's own address; NULL: the citizen's
  sealed     bytea NOT NULL,             -- box under the vault key: the address for display
  created_at timestamptz NOT NULL,
  expires_at timestamptz,
  revoked_at timestamptz,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, citizen_id, id),
  FOREIGN KEY (tenant_id, id) REFERENCES address (tenant_id, id),
  FOREIGN KEY (tenant_id, citizen_id) REFERENCES citizen
);

CREATE TABLE deposit (
  tenant_id    uuid NOT NULL REFERENCES tenant,
  id           uuid NOT NULL,
  citizen_id   uuid,                     -- NULL: belongs to nobody yet
  address_id   uuid,
  channel      text NOT NULL,
  journey      text NOT NULL CHECK (journey IN ('home','post','phone','counter')),
  trust        smallint NOT NULL CHECK (trust BETWEEN 0 AND 3),
  trust_reason text NOT NULL,
  fingerprint  bytea NOT NULL,           -- keyed: tenant, channel, address, key, bytes (REL-04, SEC-06)
  received_at  timestamptz NOT NULL,
  envelope     bytea NOT NULL,           -- sealed under the first body's object key
  note         bytea,                    -- covering note, sealed likewise
  state        text NOT NULL CHECK (state IN ('received','opened','held','refused','failed','destroyed')),
  reason       text,                     -- stable code
  sentence     text,                     -- the same for a person; never personal
  pieces       int,                      -- seen at opening: one side of the ledger (REL-17)
  attempts     int NOT NULL DEFAULT 0,
  lease_token  bigint NOT NULL DEFAULT 0,
  lease_until  timestamptz,
  next_at      timestamptz NOT NULL DEFAULT '-infinity',
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, fingerprint),
  CHECK (address_id IS NULL OR citizen_id IS NOT NULL), -- a reference with a NULL in it is not checked
  FOREIGN KEY (tenant_id, citizen_id) REFERENCES citizen,
  FOREIGN KEY (tenant_id, citizen_id, address_id) REFERENCES deposit_address (tenant_id, citizen_id, id)
);
CREATE INDEX deposit_due ON deposit (tenant_id, next_at) WHERE state = 'received';
CREATE INDEX deposit_recent ON deposit (tenant_id, received_at);

CREATE TABLE deposit_body (              -- original bytes, never altered
  tenant_id  uuid NOT NULL,
  deposit_id uuid NOT NULL,
  n          int  NOT NULL CHECK (n > 0),
  type       text NOT NULL,
  object_id  uuid NOT NULL,
  ref        text NOT NULL,
  size       bigint NOT NULL,            -- plain bytes
  digest     bytea NOT NULL,             -- SHA-256 of the sealed bytes: wholeness without a key
  wrapped    bytea NOT NULL,             -- object key: sealed to the intake key, after attribution wrapped by the vault key
  meta       bytea NOT NULL,             -- file name and plain SHA-256, sealed under the object key
  PRIMARY KEY (tenant_id, deposit_id, n),
  FOREIGN KEY (tenant_id, deposit_id) REFERENCES deposit
);
CREATE INDEX deposit_body_ref ON deposit_body (tenant_id, ref);

CREATE TABLE document (
  tenant_id    uuid NOT NULL,
  citizen_id   uuid NOT NULL,
  id           uuid NOT NULL,
  type         text NOT NULL,
  catalogue    int  NOT NULL,            -- version whose rules gave the dates
  state        text NOT NULL CHECK (state IN ('to_confirm','to_validate','validated','rejected')),
  standing     text NOT NULL CHECK (standing IN ('current','expired','replaced','deleted','seen_not_kept')),
  channel      text NOT NULL,
  journey      text NOT NULL,
  valid_until  date,                     -- last day it proves something; NULL: no end, or none printed
  retain_until date,                     -- day it must vanish; NULL: the citizen decides
  created_at   timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, citizen_id, id),
  FOREIGN KEY (tenant_id, citizen_id) REFERENCES citizen
);

CREATE TABLE document_version (
  tenant_id   uuid NOT NULL,
  citizen_id  uuid NOT NULL,
  document_id uuid NOT NULL,
  n           int  NOT NULL CHECK (n > 0),
  fingerprint bytea NOT NULL,            -- keyed by the vault, over the parts (SEC-06)
  meta        bytea NOT NULL,            -- box under the vault key: core.DocumentMeta
  size        bigint NOT NULL,
  created_at  timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, citizen_id, document_id, n),
  UNIQUE (tenant_id, citizen_id, fingerprint),
  FOREIGN KEY (tenant_id, citizen_id, document_id) REFERENCES document
);

CREATE TABLE piece (
  tenant_id   uuid NOT NULL,
  id          uuid NOT NULL,
  deposit_id  uuid NOT NULL,
  citizen_id  uuid,
  n           int  NOT NULL CHECK (n > 0),
  object_id   uuid NOT NULL,
  ref         text NOT NULL,
  size        bigint NOT NULL,
  digest      bytea NOT NULL,
  wrapped     bytea NOT NULL,
  meta        bytea NOT NULL,            -- core.PieceMeta, sealed under the object key
  state       text NOT NULL CHECK (state IN ('waiting','examined','recognised','filed','at_desk','set_aside','refused','failed')),
  desk        text NOT NULL DEFAULT '' CHECK (desk IN ('','citizen','agent')),
  reason      text,
  sentence    text,
  kind        text,
  pages       int,
  document_id uuid,
  attempts    int NOT NULL DEFAULT 0,
  lease_token bigint NOT NULL DEFAULT 0,
  lease_until timestamptz,
  next_at     timestamptz NOT NULL DEFAULT '-infinity',
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, deposit_id, n),
  UNIQUE (tenant_id, citizen_id, id),
  CHECK (state <> 'filed' OR document_id IS NOT NULL),
  CHECK (document_id IS NULL OR citizen_id IS NOT NULL), -- likewise
  FOREIGN KEY (tenant_id, deposit_id) REFERENCES deposit,
  FOREIGN KEY (tenant_id, citizen_id) REFERENCES citizen,
  FOREIGN KEY (tenant_id, citizen_id, document_id) REFERENCES document
);
CREATE INDEX piece_due ON piece (tenant_id, next_at) WHERE state IN ('waiting','examined','recognised');
CREATE INDEX piece_ref ON piece (tenant_id, ref);
CREATE INDEX piece_document ON piece (tenant_id, citizen_id, document_id);

CREATE TABLE version_part (              -- a version is an ordered list of (piece, pages)
  tenant_id   uuid NOT NULL,
  citizen_id  uuid NOT NULL,
  document_id uuid NOT NULL,
  version     int  NOT NULL,
  n           int  NOT NULL CHECK (n > 0),
  piece_id    uuid NOT NULL,
  pages       int4range,                 -- NULL: the whole piece
  PRIMARY KEY (tenant_id, citizen_id, document_id, version, n),
  FOREIGN KEY (tenant_id, citizen_id, document_id, version) REFERENCES document_version,
  FOREIGN KEY (tenant_id, citizen_id, piece_id) REFERENCES piece (tenant_id, citizen_id, id)
);

CREATE TABLE artifact (                  -- what was read out of a piece
  tenant_id  uuid NOT NULL,
  piece_id   uuid NOT NULL,
  kind       text NOT NULL,
  producer   text NOT NULL,
  ref        text,                       -- large ones lie in the blob store,
  sealed     bytea,                      -- small ones here; sealed under the piece's object key
  created_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, piece_id, kind, producer),
  CHECK ((ref IS NULL) <> (sealed IS NULL)),
  FOREIGN KEY (tenant_id, piece_id) REFERENCES piece
);

CREATE TABLE journal_head (              -- one row a chain; locked while an entry is added
  tenant_id uuid NOT NULL REFERENCES tenant,
  chain     text NOT NULL,               -- 'vault:<citizen>' or 'intake:<day>'
  seq       bigint NOT NULL,
  hash      bytea NOT NULL,
  PRIMARY KEY (tenant_id, chain)
);

CREATE TABLE journal (                   -- INSERT only, hash-chained (SEC-31)
  tenant_id uuid NOT NULL REFERENCES tenant,
  chain     text NOT NULL,
  seq       bigint NOT NULL CHECK (seq > 0),
  at        timestamptz NOT NULL,
  actor     text NOT NULL,
  act       text NOT NULL,
  purpose   text NOT NULL,
  object    text NOT NULL,
  sealed    bytea,                       -- personal attributes, under the vault key (SEC-33)
  prev      bytea NOT NULL,
  hash      bytea NOT NULL,
  PRIMARY KEY (tenant_id, chain, seq)
);

-- Row-level security, the same on every table that has a tenant_id, address aside.
-- +goose StatementBegin
DO $$
DECLARE t text;
BEGIN
  FOR t IN SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
           WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
             AND a.attname = 'tenant_id' AND c.relname <> 'address' LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY own_tenant ON %I USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()))', t);
  END LOOP;
END $$;
-- +goose StatementEnd

-- Every committed change of state is told to whoever listens: ids only. The arrival
-- of a deposit is not: NOTIFY serialises commits, and acceptance must not queue there.
-- +goose StatementBegin
CREATE FUNCTION tell_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('vaguemestre', json_build_object('tenant', NEW.tenant_id, 'noun', TG_TABLE_NAME, 'id', NEW.id, 'state', NEW.state)::text);
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER tell AFTER UPDATE OF state ON deposit  FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION tell_state();
CREATE TRIGGER tell AFTER UPDATE OF state ON piece    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION tell_state();
CREATE TRIGGER tell_new AFTER INSERT ON piece         FOR EACH ROW EXECUTE FUNCTION tell_state();
CREATE TRIGGER tell AFTER UPDATE OF state ON document FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION tell_state();
CREATE TRIGGER tell_new AFTER INSERT ON document      FOR EACH ROW EXECUTE FUNCTION tell_state();

-- Who may do what. Accepting roles: find an address, record a deposit; no private
-- key, no reading back of what was sealed.
GRANT SELECT ON tenant, address TO vaguemestre_smtp, vaguemestre_imap, vaguemestre_upload, vaguemestre_post;
GRANT SELECT (tenant_id, id, citizen_id, expires_at, revoked_at) ON deposit_address TO vaguemestre_smtp, vaguemestre_imap, vaguemestre_upload, vaguemestre_post;
GRANT INSERT, SELECT (tenant_id, id, fingerprint, received_at) ON deposit TO vaguemestre_smtp, vaguemestre_imap, vaguemestre_upload, vaguemestre_post;
GRANT INSERT ON deposit_body TO vaguemestre_smtp, vaguemestre_imap, vaguemestre_upload, vaguemestre_post;

GRANT SELECT ON tenant, tenant_settings, catalogue TO vaguemestre_worker;
GRANT SELECT (tenant_id, id, reading_consent_version, reading_consent_at, reading_consent_revoked) ON citizen TO vaguemestre_worker;
GRANT SELECT, UPDATE ON deposit, piece, document TO vaguemestre_worker;
GRANT SELECT, UPDATE (wrapped) ON deposit_body TO vaguemestre_worker; -- the original is never altered, its key is re-wrapped
GRANT INSERT ON piece, document TO vaguemestre_worker;
GRANT SELECT, INSERT ON document_version, version_part, artifact, journal TO vaguemestre_worker;
GRANT SELECT, INSERT, UPDATE ON journal_head TO vaguemestre_worker;

GRANT SELECT ON tenant TO vaguemestre_scheduler;
GRANT SELECT (tenant_id, id, state, attempts, lease_until, next_at) ON deposit, piece TO vaguemestre_scheduler;
GRANT SELECT (tenant_id, ref) ON deposit_body, piece, artifact TO vaguemestre_scheduler;

GRANT SELECT ON tenant TO vaguemestre_keeper;
GRANT SELECT ON tenant_key, vault_key TO vaguemestre_keeper;
GRANT SELECT, INSERT ON journal TO vaguemestre_keeper;
GRANT SELECT, INSERT, UPDATE ON journal_head TO vaguemestre_keeper;
GRANT SELECT (tenant_id, id, lease_token, lease_until) ON deposit, piece TO vaguemestre_keeper;

GRANT SELECT, INSERT ON tenant, address, tenant_settings, catalogue, agent, citizen, deposit_address, journal TO vaguemestre_http;
GRANT INSERT ON tenant_key, vault_key TO vaguemestre_http; -- wrapped by the keeper; written with the row they belong to, never read
GRANT UPDATE (expires_at, revoked_at) ON deposit_address TO vaguemestre_http;
GRANT SELECT ON deposit, deposit_body, piece, artifact, document, document_version, version_part TO vaguemestre_http;
GRANT UPDATE (state) ON document TO vaguemestre_http;
GRANT SELECT, INSERT, UPDATE ON journal_head TO vaguemestre_http;
