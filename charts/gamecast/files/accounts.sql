-- The MySQL accounts of Gamecast, each with the least that it needs. devstack makes its accounts from
-- this file, so every end-to-end test runs with exactly these privileges. Change the schema, the hosts
-- and the passwords, and run it as an administrator. Nothing is granted on other schemas.

CREATE DATABASE IF NOT EXISTS gameodds CHARACTER SET utf8mb4;

-- The operator makes, extends and drops the games' tables, lists games and writes marker rows.
CREATE USER IF NOT EXISTS 'gamecast_operator'@'%' IDENTIFIED BY 'operator-password';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP ON gameodds.* TO 'gamecast_operator'@'%';
-- It looks at how the binary log is kept.
GRANT REPLICATION CLIENT ON *.* TO 'gamecast_operator'@'%';
-- It sees when Debezium's password was changed (and not what it is), and has the connector log in anew.
-- Without this a new password reaches Debezium once a connection with the old one has failed.
GRANT SELECT (user, host, password_last_changed) ON mysql.user TO 'gamecast_operator'@'%';

-- The api inserts rows, and reads none.
CREATE USER IF NOT EXISTS 'gamecast_api'@'%' IDENTIFIED BY 'api-password';
GRANT INSERT ON gameodds.* TO 'gamecast_api'@'%';

-- Debezium reads the tables once, and then the binary log, which MySQL grants for all schemas only.
CREATE USER IF NOT EXISTS 'debezium'@'%' IDENTIFIED BY 'debezium-password';
GRANT SELECT ON gameodds.* TO 'debezium'@'%';
GRANT RELOAD, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'debezium'@'%';
