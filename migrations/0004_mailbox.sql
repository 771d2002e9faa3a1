-- Secrets of a town.

-- +goose Up

CREATE TABLE tenant_secret (             -- what a town is let in with elsewhere: passwords, tokens, signing keys
  tenant_id uuid NOT NULL REFERENCES tenant,
  name      text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9_.-]*(/[a-z0-9][a-z0-9_.-]*)?$' AND length(name) <= 80),
  sealed    bytea NOT NULL,              -- under the installation's secrets key; tenant and name are bound in it
  set_at    timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, name)
);

-- +goose StatementBegin
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['tenant_secret'] LOOP
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
