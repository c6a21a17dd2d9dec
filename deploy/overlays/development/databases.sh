#!/bin/sh
# Run once, by the image of PostgreSQL, when the data directory is new.
set -eu
for name in directory portal mdm; do
    variable="$(echo "$name" | tr '[:lower:]' '[:upper:]')_PASSWORD"
    psql -v ON_ERROR_STOP=1 --username postgres -v name="$name" -v password="$(printenv "$variable")" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
SQL
done
