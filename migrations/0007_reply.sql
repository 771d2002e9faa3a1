-- What comes back by e-mail: reports on the delivery of letters, replies that replace a
-- document or ask for its deletion, and the versions that make both undoable.

-- +goose Up

CREATE TABLE report (                    -- what came to a letter's return path; never a deposit
  tenant_id   uuid NOT NULL REFERENCES tenant,
  id          uuid NOT NULL,
  letter      text NOT NULL CHECK (letter ~ '^[0-9a-f]{20}$'), -- first digits of the letter's id, as the return path names it
  channel     text NOT NULL,
  fingerprint bytea NOT NULL,            -- keyed: the same report again is the same
  received_at timestamptz NOT NULL,
  sealed      bytea NOT NULL,            -- the first part of the message, in a box that only the keeper opens
  state       text NOT NULL DEFAULT 'received' CHECK (state IN ('received','read','refused','failed')),
  reason      text,                      -- what it says of the letter, once read; or a stable code
  sentence    text,
  attempts    int NOT NULL DEFAULT 0,
  lease_token bigint NOT NULL DEFAULT 0,
  lease_until timestamptz,
  next_at     timestamptz NOT NULL DEFAULT '-infinity',
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, fingerprint)
);
CREATE INDEX report_due ON report (tenant_id, next_at) WHERE state = 'received';
CREATE INDEX report_letter ON report (tenant_id, letter);
CREATE INDEX report_old ON report (tenant_id, received_at);

ALTER TABLE report ENABLE ROW LEVEL SECURITY;
ALTER TABLE report FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON report USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));

-- A letter to the address came back for good: no other goes there until it was verified
-- again.
ALTER TABLE sender ADD bounced_at timestamptz;

-- A reply address is a secret address made for one deposit's answers.
ALTER TABLE deposit_address
  ADD purpose   text NOT NULL DEFAULT 'deposit' CHECK (purpose IN ('deposit','reply')),
  ADD object_id uuid,                    -- reply: the deposit that is answered
  ADD CHECK ((purpose = 'reply') = (object_id IS NOT NULL));
CREATE INDEX deposit_address_reply ON deposit_address (tenant_id, object_id) WHERE purpose = 'reply';

-- A document has one version in force. One that left it is kept, with what the document
-- was while it was in force, and may come back for a while. Content that has left may
-- come in anew.
ALTER TABLE document_version
  ADD left_at       timestamptz,         -- NULL: in force
  ADD was_state     text CHECK (was_state IN ('to_confirm','to_validate','validated','rejected')),
  ADD was_catalogue int,
  ADD was_channel   text,
  ADD was_journey   text,
  ADD was_valid     date,
  ADD was_retain    date,
  DROP CONSTRAINT document_version_tenant_id_citizen_id_fingerprint_key;
CREATE UNIQUE INDEX document_version_content ON document_version (tenant_id, citizen_id, fingerprint) WHERE left_at IS NULL;
CREATE UNIQUE INDEX document_version_in_force ON document_version (tenant_id, citizen_id, document_id) WHERE left_at IS NULL;

ALTER TABLE document
  ADD replaces   uuid,                   -- proposed in place of that document; nothing is replaced before the citizen says yes
  ADD deleted_at timestamptz,
  ADD CHECK ((standing = 'deleted') = (deleted_at IS NOT NULL));
CREATE INDEX document_replaces ON document (tenant_id, citizen_id, replaces) WHERE replaces IS NOT NULL;

ALTER TABLE piece ADD version int;       -- of its document, that it is or has the content of
UPDATE piece SET version = 1 WHERE document_id IS NOT NULL;
ALTER TABLE piece ADD CHECK (document_id IS NULL OR version IS NOT NULL);

-- Accepting roles take reports in and read none back.
GRANT INSERT, SELECT (tenant_id, id, letter, fingerprint) ON report TO vaguemestre_smtp, vaguemestre_imap;
GRANT SELECT ON report TO vaguemestre_worker;
GRANT UPDATE (state, reason, sentence, attempts, lease_token, lease_until, next_at) ON report TO vaguemestre_worker;
GRANT SELECT (tenant_id, id, lease_token, lease_until) ON report TO vaguemestre_keeper;
GRANT SELECT (tenant_id, id, state, attempts, lease_until, next_at, received_at), DELETE ON report TO vaguemestre_scheduler;
GRANT SELECT (tenant_id, id, letter, channel, received_at, state, reason) ON report TO vaguemestre_http;

-- Workers flag what cannot be reached, and find what a reply answers.
GRANT UPDATE (bounced_at), SELECT (bounced_at) ON sender TO vaguemestre_worker;
GRANT SELECT (tenant_id, id, purpose, object_id) ON deposit_address TO vaguemestre_worker;
GRANT UPDATE (left_at, was_state, was_catalogue, was_channel, was_journey, was_valid, was_retain) ON document_version TO vaguemestre_worker, vaguemestre_http;

-- The citizen's own acts: a yes to a replacement, back to a former version, delete, undo.
GRANT UPDATE (bounced_at) ON sender TO vaguemestre_http;
GRANT UPDATE (catalogue, standing, channel, journey, valid_until, retain_until, replaces, deleted_at) ON document TO vaguemestre_http;
GRANT UPDATE (document_id, version, reason) ON piece TO vaguemestre_http;
GRANT INSERT ON document_version, version_part TO vaguemestre_http;

-- The mailer makes reply addresses.
GRANT SELECT, INSERT ON address TO vaguemestre_mailer;
GRANT SELECT (tenant_id, id, citizen_id, purpose, object_id, expires_at, revoked_at), INSERT, UPDATE (expires_at) ON deposit_address TO vaguemestre_mailer;
