{{/* The brokers' addresses. */}}
{{- define "gamecast.kafkaBootstrapServers" -}}
{{- if .Values.kafka.enabled -}}
{{ include "gamecast.fullname" . }}-kafka:9092
{{- else -}}
{{ required "kafka.bootstrapServers is needed: where are the brokers? (or kafka.enabled, to try things out)" .Values.kafka.bootstrapServers }}
{{- end }}
{{- end }}

{{/* Kafka Connect's address. */}}
{{- define "gamecast.connectUrl" -}}
{{- if .Values.connect.enabled -}}
http://{{ include "gamecast.fullname" . }}-connect:8083
{{- else -}}
{{ required "connect.url is needed: where is Kafka Connect? (or connect.enabled, to run it here)" .Values.connect.url }}
{{- end }}
{{- end }}

{{/* Kafka's flags of a program: `(list $ "fanout")`. */}}
{{- define "gamecast.kafkaArgs" -}}
{{- $root := index . 0 -}}
{{- $kafka := $root.Values.kafka -}}
{{- $account := index $kafka (index . 1) -}}
- --kafka-bootstrap-servers={{ include "gamecast.kafkaBootstrapServers" $root }}
- --routes-topic={{ $kafka.routesTopic }}
- --kafka-security-protocol={{ $kafka.securityProtocol }}
{{- if $kafka.caSecret.name }}
- --kafka-ca-file=/secrets/kafka/ca.crt
{{- end }}
{{- if $account.certificateSecret }}
- --kafka-certificate-file=/secrets/kafka/tls.crt
- --kafka-key-file=/secrets/kafka/tls.key
{{- end }}
{{- if hasPrefix "SASL_" $kafka.securityProtocol }}
{{- if not (or $account.password $account.passwordSecret.name) }}
{{- fail (printf "kafka.%s.passwordSecret is needed with %s" (index . 1) $kafka.securityProtocol) }}
{{- end }}
- --kafka-sasl-mechanism={{ $kafka.saslMechanism }}
- --kafka-sasl-username={{ required (printf "kafka.%s.username is needed with %s" (index . 1) $kafka.securityProtocol) $account.username }}
- --kafka-sasl-password-file=/secrets/kafka/password
{{- end }}
{{- end }}

{{/*
The databases by name, as YAML, complete with what they leave out, and with `default` where this
release runs MySQL.
*/}}
{{- define "gamecast.databases" -}}
{{- $databases := deepCopy .Values.databases }}
{{- if .Values.mysql.enabled }}
{{- $secret := include "gamecast.mysqlSecret" . }}
{{- $account := dict "host" (printf "%s-mysql" (include "gamecast.fullname" .)) "schema" .Values.mysql.schema
  "operator" (dict "passwordSecret" (dict "name" $secret "key" "operator-password"))
  "api" (dict "passwordSecret" (dict "name" $secret "key" "api-password"))
  "connector" (dict "passwordSecret" (dict "name" $secret "key" "debezium-password")) }}
{{- $_ := set $databases "default" (merge (default dict $databases.default) $account) }}
{{- end }}
{{- if not $databases }}
{{- fail "databases is needed: where are the MySQL servers? (or mysql.enabled, to try things out)" }}
{{- end }}
{{- range $name, $database := $databases }}
{{- $defaults := dict "port" 3306
  "operator" (dict "username" "gamecast_operator" "password" "" "passwordSecret" (dict "name" "" "key" "password"))
  "api" (dict "username" "gamecast_api" "password" "" "passwordSecret" (dict "name" "" "key" "password"))
  "connector" (dict "username" "debezium" "passwordReference" "" "passwordSecret" (dict "name" "" "key" "password") "serverIdBase" 40000) }}
{{- $_ := set $databases $name (merge $database $defaults) }}
{{- end }}
{{- toYaml $databases }}
{{- end }}

{{/* The Secret with the passwords of the MySQL of this release. */}}
{{- define "gamecast.mysqlSecret" -}}
{{- default (printf "%s-mysql" (include "gamecast.fullname" .)) .Values.mysql.passwordSecret }}
{{- end }}

{{/*
databases.yaml as a program reads it: `(list $ "operator")`. Debezium's account is for the operator
only.
*/}}
{{- define "gamecast.databasesFile" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $file := dict -}}
{{- range $name, $database := include "gamecast.databases" $root | fromYaml }}
{{- $account := index $database $component }}
{{- if not (or $account.password $account.passwordSecret.name) }}
{{- fail (printf "databases.%s.%s.passwordSecret is needed" $name $component) }}
{{- end }}
{{- $host := required (printf "databases.%s.host is needed" $name) $database.host }}
{{- $schema := required (printf "databases.%s.schema is needed" $name) $database.schema }}
{{- $entry := dict "host" $host "port" (int $database.port) "schema" $schema
  "username" $account.username "passwordFile" (printf "/secrets/databases/%s/password" $name) }}
{{- with $database.tls }}
{{- $tls := dict "mode" .mode }}
{{- with .caSecret }}{{ if .name }}
{{- $_ := set $tls "caFile" (printf "/secrets/databases/%s/ca.crt" $name) }}
{{- end }}{{ end }}
{{- $_ := set $entry "tls" $tls }}
{{- end }}
{{- if eq $component "operator" }}
{{- $_ := set $entry "connector" (include "gamecast.connectorAccount" (list $root $name $database.connector) | fromYaml) }}
{{- end }}
{{- $_ := set $file $name $entry }}
{{- end }}
{{- toYaml (dict "databases" $file) }}
{{- end }}

{{/* Debezium's account as YAML: `(list $ DATABASE CONNECTOR)`. */}}
{{- define "gamecast.connectorAccount" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $connector := index . 2 -}}
{{- $reference := $connector.passwordReference }}
{{- if and $root.Values.connect.enabled $connector.passwordSecret.name }}
{{- $reference = printf "${directory:/secrets/databases/%s:password}" $name }}
{{- end }}
{{- $entry := omit $connector "passwordReference" "passwordSecret" }}
{{- $_ := set $entry "serverIdBase" (int $connector.serverIdBase) }}
{{- with $connector.port }}{{ $_ := set $entry "port" (int .) }}{{ end }}
{{- $_ := set $entry "password" (required (printf "databases.%s.connector.passwordReference is needed: where does Kafka Connect find Debezium's password? Such as ${directory:/mnt/debezium:password}; with connect.enabled passwordSecret will do" $name) $reference) }}
{{- toYaml $entry }}
{{- end }}
