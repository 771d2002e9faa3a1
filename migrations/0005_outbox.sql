-- Letters that go out by e-mail: ordered in the transaction of what causes them, sent by
-- the mailer under a lease, settled, and followed until their recipient's server answers.

-- +goose Up

CREATE TABLE letter (
  tenant_id   uuid NOT NULL REFERENCES tenant,
  id          uuid NOT NULL,
  kind        text NOT NULL CHECK (kind IN ('receipt','result','link','dispatch','notice')),
  citizen_id  uuid,                      -- whose vault it speaks of; NULL: nobody's
  object_id   text NOT NULL CHECK (length(object_id) <= 100),
  once        text NOT NULL CHECK (length(once) <= 100),
  counted     bytea,                     -- keyed hash of recipient and day; NULL: not counted
  sealed      bytea,                     -- what only the keeper opens; NULL: composing finds it all
  state       text NOT NULL DEFAULT 'waiting'
              CHECK (state IN ('waiting','sent','delivered','delayed','bounced','refused','failed','cancelled')),
  code        text CHECK (length(code) <= 60),   -- of the last attempt: stable, or the relay's
  status      text CHECK (length(status) <= 20), -- enhanced status: 5.1.1
  attempts    int NOT NULL DEFAULT 0,
  lease_token bigint NOT NULL DEFAULT 0,
  lease_until timestamptz,
  next_at     timestamptz NOT NULL,      -- not composed before
  created_at  timestamptz NOT NULL,
  first_at    timestamptz,               -- first attempt
  settled_at  timestamptz,               -- reached the state it is in
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, citizen_id) REFERENCES citizen
);
CREATE UNIQUE INDEX letter_once ON letter (tenant_id, kind, object_id, once);
CREATE INDEX letter_due ON letter (tenant_id, next_at) WHERE state = 'waiting';
CREATE INDEX letter_recent ON letter (tenant_id, created_at);

CREATE TABLE letter_count (              -- automatic letters to one recipient on one day (SEC-48)
  tenant_id  uuid NOT NULL REFERENCES tenant,
  keyed_hash bytea NOT NULL,             -- of recipient and day together: days cannot be told to be one person's
  n          int NOT NULL CHECK (n > 0),
  day        date NOT NULL,
  PRIMARY KEY (tenant_id, keyed_hash)
);
CREATE INDEX letter_count_old ON letter_count (tenant_id, day);

ALTER TABLE sender ADD contact boolean NOT NULL DEFAULT false; -- the address given at enrolment: letters go there once it is verified

-- +goose StatementBegin
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['letter','letter_count'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY own_tenant ON %I USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()))', t);
  END LOOP;
END $$;
-- +goose StatementEnd

-- A letter's state is told like any other. The mailer has a channel of its own, so that
-- nothing else wakes it: a letter was ordered, or one that waits was brought forward.
CREATE TRIGGER tell AFTER UPDATE OF state ON letter FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION tell_state();
CREATE TRIGGER tell_new AFTER INSERT ON letter FOR EACH ROW EXECUTE FUNCTION tell_state();
-- +goose StatementBegin
CREATE FUNCTION wake_mailer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('vaguemestre_letter', '');
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER wake_new AFTER INSERT ON letter FOR EACH ROW EXECUTE FUNCTION wake_mailer();
CREATE TRIGGER wake_sooner AFTER UPDATE OF next_at ON letter FOR EACH ROW WHEN (NEW.state = 'waiting' AND NEW.next_at < OLD.next_at) EXECUTE FUNCTION wake_mailer();

-- Who orders letters: workers and pages. They count, cancel what is one too many, and
-- bring forward; they read no sealed part back.
GRANT SELECT (id, contact) ON sender TO vaguemestre_worker;
GRANT SELECT (tenant_id, id, kind, citizen_id, object_id, once, counted, state, lease_until, next_at, created_at), INSERT, UPDATE (state, code, status, next_at, settled_at) ON letter TO vaguemestre_worker;
GRANT SELECT, INSERT, UPDATE (state, code, status, next_at, settled_at) ON letter TO vaguemestre_http;
GRANT SELECT, INSERT, UPDATE (n) ON letter_count TO vaguemestre_worker, vaguemestre_http;

-- Who sends them. To compose, the mailer reads what a letter speaks of, and makes links.
GRANT SELECT, UPDATE (state, code, status, attempts, lease_token, lease_until, next_at, first_at, settled_at) ON letter TO vaguemestre_mailer;
GRANT SELECT ON tenant, tenant_settings, catalogue TO vaguemestre_mailer;
GRANT SELECT (tenant_id, id, citizen_id, channel, trust, trust_reason, received_at, state, reason, sentence, envelope, origin) ON deposit TO vaguemestre_mailer;
GRANT SELECT ON deposit_body, piece, document, document_version, version_part, sender TO vaguemestre_mailer;
GRANT SELECT, INSERT ON link TO vaguemestre_mailer;

-- Counts of past days go.
GRANT SELECT (tenant_id, day), DELETE ON letter_count TO vaguemestre_scheduler;
