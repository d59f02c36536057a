{{/*
Secrets are mounted as one folder, /secrets, so that new passwords arrive without a restart:

  /secrets/kafka/password, ca.crt, tls.crt, tls.key
  /secrets/connect/password, ca.crt
  /secrets/databases/NAME/password, ca.crt

A password comes from the Secret that the values name, or from the one that the chart makes of it.
*/}}

{{/* A source of the folder: `(list SECRET KEY PATH)`. */}}
{{- define "gamecast.source" -}}
- secret:
    name: {{ index . 0 }}
    items:
      - {key: {{ index . 1 | quote }}, path: {{ index . 2 }}}
{{- end }}

{{/* A password as a source: `(list $ ACCOUNT OWN-SECRET OWN-KEY PATH)`. */}}
{{- define "gamecast.passwordSource" -}}
{{- $root := index . 0 -}}
{{- $account := index . 1 -}}
{{- if $account.passwordSecret.name }}
{{ include "gamecast.source" (list $account.passwordSecret.name $account.passwordSecret.key (index . 4)) }}
{{- else if $account.password }}
{{ include "gamecast.source" (list (printf "%s-%s" (include "gamecast.fullname" $root) (index . 2)) (index . 3) (index . 4)) }}
{{- end }}
{{- end }}

{{/* What reaches Kafka, as sources: `(list $ "fanout")`. */}}
{{- define "gamecast.kafkaSources" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $kafka := $root.Values.kafka -}}
{{- $account := index $kafka $component -}}
{{- with $kafka.caSecret }}{{ if .name }}
{{ include "gamecast.source" (list .name .key "kafka/ca.crt") }}
{{- end }}{{ end }}
{{- with $account.certificateSecret }}
{{ include "gamecast.source" (list . "tls.crt" "kafka/tls.crt") }}
{{ include "gamecast.source" (list . "tls.key" "kafka/tls.key") }}
{{- end }}
{{- include "gamecast.passwordSource" (list $root $account $component "kafka-password" "kafka/password") }}
{{- end }}

{{/* The passwords and authorities of the databases, as sources: `(list $ "operator")`. */}}
{{- define "gamecast.databaseSources" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- range $name, $database := include "gamecast.databases" $root | fromYaml }}
{{- with $database.tls }}{{ with .caSecret }}{{ if .name }}
{{ include "gamecast.source" (list .name (default "ca.crt" .key) (printf "databases/%s/ca.crt" $name)) }}
{{- end }}{{ end }}{{ end }}
{{- $account := index $database $component }}
{{- include "gamecast.passwordSource" (list $root $account $component (printf "database-%s" $name) (printf "databases/%s/password" $name)) }}
{{- end }}
{{- end }}

{{/* The volume of these sources, where there are any. */}}
{{- define "gamecast.secretsVolume" -}}
{{- with trim . -}}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- . | nindent 6 }}
{{- end }}
{{- end }}

{{/*
The Secret of the passwords that the values hold: `(list $ "operator" PASSWORDS)`, by key.
*/}}
{{- define "gamecast.ownSecret" -}}
{{- $passwords := index . 2 -}}
{{- if $passwords }}
apiVersion: v1
kind: Secret
metadata:
  {{- include "gamecast.metadata" (list (index . 0) (index . 1)) | nindent 2 }}
type: Opaque
data:
  {{- range $key, $password := $passwords }}
  {{ $key }}: {{ $password | b64enc }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The passwords of the databases that the values hold, by key, as YAML: `(list $ "api")`. */}}
{{- define "gamecast.databasePasswords" -}}
{{- $component := index . 1 -}}
{{- $found := dict -}}
{{- range $name, $database := include "gamecast.databases" (index . 0) | fromYaml }}
{{- $account := index $database $component }}
{{- if and $account.password (not $account.passwordSecret.name) }}
{{- $_ := set $found (printf "database-%s" $name) $account.password }}
{{- end }}
{{- end }}
{{- toYaml $found }}
{{- end }}
