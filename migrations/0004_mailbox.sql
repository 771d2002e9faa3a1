-- Secrets of a town, and the mailboxes that are emptied for it.

-- +goose Up

CREATE TABLE tenant_secret (             -- what a town is let in with elsewhere: passwords, tokens, signing keys
  tenant_id uuid NOT NULL REFERENCES tenant,
  name      text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9_.-]*(/[a-z0-9][a-z0-9_.-]*)?$' AND length(name) <= 80),
  sealed    bytea NOT NULL,              -- under the installation's secrets key; tenant and name are bound in it
  set_at    timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, name)
);

CREATE TABLE mailbox (
  tenant_id    uuid NOT NULL REFERENCES tenant,
  id           uuid NOT NULL,
  settings     jsonb NOT NULL,           -- where it is; what one signs in with is a secret
  enabled      boolean NOT NULL,
  created_at   timestamptz NOT NULL,
  asked_at     timestamptz,              -- somebody asked that it be tried
  tried_at     timestamptz,              -- end of the latest poll
  succeeded_at timestamptz,              -- end of the latest that went well
  fault        text,                     -- of the latest; stable code
  attempts     int NOT NULL DEFAULT 0,   -- that went wrong, one after the other
  next_at      timestamptz NOT NULL DEFAULT '-infinity',
  waiting      int NOT NULL DEFAULT 0,   -- messages that nothing became of yet, when it was last looked at
  lease_token  bigint NOT NULL DEFAULT 0,
  lease_until  timestamptz,
  PRIMARY KEY (tenant_id, id)
);

CREATE TABLE mailbox_message (           -- what became of a message that stays in its folder
  tenant_id  uuid NOT NULL,
  mailbox_id uuid NOT NULL,
  folder     text NOT NULL,
  validity   bigint NOT NULL,            -- UIDVALIDITY of the folder
  uid        bigint NOT NULL,
  handling   text NOT NULL CHECK (handling IN ('taken','refused','failed')),
  moved      boolean NOT NULL,           -- and stays nevertheless
  code       text NOT NULL,              -- why, when refused or failed; '' when taken
  attempts   int NOT NULL,
  next_at    timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, mailbox_id, folder, validity, uid),
  FOREIGN KEY (tenant_id, mailbox_id) REFERENCES mailbox ON DELETE CASCADE
);
CREATE INDEX mailbox_message_shown ON mailbox_message (tenant_id, mailbox_id) WHERE handling <> 'taken';

-- +goose StatementBegin
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['tenant_secret','mailbox','mailbox_message'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY own_tenant ON %I USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()))', t);
  END LOOP;
END $$;
-- +goose StatementEnd

-- Whoever sets a secret cannot read one; whoever uses them cannot add one. A mailbox's
-- refresh token is replaced by the poller when its issuer says so.
GRANT INSERT, DELETE, SELECT (tenant_id, name, set_at), UPDATE (sealed, set_at) ON tenant_secret TO vaguemestre_http;
GRANT SELECT, UPDATE (sealed, set_at) ON tenant_secret TO vaguemestre_imap;
GRANT SELECT ON tenant, tenant_secret TO vaguemestre_mailer;

GRANT SELECT, INSERT, DELETE, UPDATE (settings, enabled, asked_at, attempts, next_at) ON mailbox TO vaguemestre_http;
GRANT SELECT (tenant_id, mailbox_id, handling, code) ON mailbox_message TO vaguemestre_http;
GRANT SELECT, UPDATE (tried_at, succeeded_at, fault, attempts, next_at, waiting, lease_token, lease_until) ON mailbox TO vaguemestre_imap;
GRANT SELECT, INSERT, UPDATE, DELETE ON mailbox_message TO vaguemestre_imap;
