-- What replicas share. Columns are added by later versions and none is taken away while a program
-- that reads it may run: two versions of the program work on one database during an upgrade.

-- Whoever has servers: a tenant, or '' for the process's own configuration. `version` grows by one
-- under its row's lock with each change that others have to see, so versions are in the order of
-- commits; a sequence would not be.
create table toolscout.tenant (
    id text primary key,
    version bigint not null default 0
);

create table toolscout.replica (
    id text primary key,
    seen_at timestamptz not null,
    program text not null
);

create table toolscout.server (
    tenant text not null references toolscout.tenant,
    id text not null,
    -- The lease: whose turn it is to crawl. `epoch` grows with each holder: a late writer is known by
    -- an older one.
    holder text,
    held_until timestamptz,
    epoch bigint not null default 0,
    asked_at timestamptz,
    wanted_at timestamptz not null default now(),
    -- The tenant's version at which this row, or its tools, changed last.
    version bigint not null default 0,
    tools_version bigint not null default 0,
    published_at timestamptz,
    -- What the last crawl came to.
    transport text,
    error text,
    wants_login boolean not null default false,
    next_crawl timestamptz,
    -- The last complete listing.
    crawled_at timestamptz,
    title text,
    description text,
    protocol text,
    event_stream boolean not null default false,
    ttl_ms bigint,
    private_to text,
    defects text[] not null default '{}',
    primary key (tenant, id)
) with (fillfactor = 70);

create index server_version on toolscout.server (tenant, version);

-- Definitions, the bytes as the server sent them.
create table toolscout.tool (
    tenant text not null,
    server text not null,
    -- Bytes: a name may hold NUL, which text may not.
    name bytea not null,
    hash bytea not null,
    definition text not null,
    primary key (tenant, server, name),
    foreign key (tenant, server) references toolscout.server on delete cascade
);
