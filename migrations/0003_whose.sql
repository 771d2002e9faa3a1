-- Whose a deposit is: generic addresses, verified senders, what helps to recognise a
-- citizen, links that confirm, and the desk of what belongs to nobody yet.

-- +goose Up

CREATE TABLE generic_address (           -- the mailbox everybody may write to
  tenant_id  uuid NOT NULL,
  id         uuid NOT NULL,
  created_at timestamptz NOT NULL,
  revoked_at timestamptz,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, id) REFERENCES address (tenant_id, id)
);

CREATE TABLE sender (                    -- an e-mail address that a citizen writes from
  tenant_id   uuid NOT NULL,
  citizen_id  uuid NOT NULL,
  id          uuid NOT NULL,
  keyed_hash  bytea NOT NULL,            -- of the canonical address, keyed: who writes is found by it
  sealed      bytea NOT NULL,            -- box under the vault key: the address for display
  how         text NOT NULL CHECK (how IN ('link','remembered')),
  created_at  timestamptz NOT NULL,
  verified_at timestamptz,               -- NULL: said, not proven; vouches for nothing
  revoked_at  timestamptz,
  PRIMARY KEY (tenant_id, citizen_id, id),
  FOREIGN KEY (tenant_id, citizen_id) REFERENCES citizen
);
CREATE UNIQUE INDEX sender_once ON sender (tenant_id, citizen_id, keyed_hash) WHERE revoked_at IS NULL;
CREATE INDEX sender_found ON sender (tenant_id, keyed_hash) WHERE revoked_at IS NULL AND verified_at IS NOT NULL;

CREATE TABLE likeness (                  -- keyed hashes of what resembles a citizen: for suggestions, never for filing
  tenant_id  uuid NOT NULL,
  citizen_id uuid NOT NULL,
  kind       text NOT NULL CHECK (kind IN ('name','email')),
  keyed_hash bytea NOT NULL,
  PRIMARY KEY (tenant_id, kind, keyed_hash, citizen_id),
  FOREIGN KEY (tenant_id, citizen_id) REFERENCES citizen
);

CREATE TABLE link (                      -- an opaque link in a message: useless without signing in (SEC-47)
  tenant_id  uuid NOT NULL,
  citizen_id uuid NOT NULL,
  keyed_hash bytea NOT NULL,             -- of the token
  purpose    text NOT NULL CHECK (purpose IN ('confirm_deposit','verify_sender')),
  object_id  uuid NOT NULL,              -- deposit or sender
  created_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  used_at    timestamptz,
  PRIMARY KEY (tenant_id, citizen_id, keyed_hash),
  FOREIGN KEY (tenant_id, citizen_id) REFERENCES citizen
);

ALTER TABLE deposit
  ADD origin     bytea,                  -- core.Origin, sealed under the first body's object key
  ADD signed     text,                   -- kind of signature the message carries, noted and not verified: smime, pgp
  ADD held_until timestamptz,            -- when held: destroyed from then on, if nobody claimed it
  ADD CHECK (state <> 'held' OR held_until IS NOT NULL);
CREATE INDEX deposit_held ON deposit (tenant_id, held_until) WHERE state = 'held';

-- +goose StatementBegin
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['generic_address','sender','likeness','link'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY own_tenant ON %I USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()))', t);
  END LOOP;
END $$;
-- +goose StatementEnd

GRANT SELECT ON generic_address TO vaguemestre_smtp, vaguemestre_imap, vaguemestre_upload, vaguemestre_post;

GRANT SELECT (tenant_id, citizen_id, keyed_hash, verified_at, revoked_at) ON sender TO vaguemestre_worker;

GRANT SELECT, INSERT ON generic_address, sender, likeness, link TO vaguemestre_http;
GRANT UPDATE (revoked_at) ON generic_address TO vaguemestre_http;
GRANT UPDATE (verified_at, revoked_at) ON sender TO vaguemestre_http;
GRANT UPDATE (used_at) ON link TO vaguemestre_http;
-- The desk attaches a deposit to a vault, and undoes it (SEC-17): what was made of it is
-- taken away, the original stays.
GRANT UPDATE (citizen_id, address_id, trust, trust_reason, state, reason, sentence, pieces, note, attempts, lease_token, lease_until, next_at, held_until) ON deposit TO vaguemestre_http;
GRANT UPDATE (wrapped) ON deposit_body TO vaguemestre_http;
GRANT UPDATE (piece_id) ON version_part TO vaguemestre_http;
GRANT DELETE ON piece, artifact, document, document_version, version_part TO vaguemestre_http;

-- What nobody claimed is destroyed: its keys first, then its bytes.
GRANT SELECT (held_until) ON deposit TO vaguemestre_scheduler;
GRANT UPDATE (state, reason, envelope, note, origin, held_until) ON deposit TO vaguemestre_scheduler;
GRANT SELECT (deposit_id), DELETE ON deposit_body TO vaguemestre_scheduler;
GRANT INSERT, SELECT ON journal TO vaguemestre_scheduler;
GRANT SELECT, INSERT, UPDATE ON journal_head TO vaguemestre_scheduler;
