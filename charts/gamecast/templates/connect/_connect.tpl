{{/* The passwords of Debezium's accounts, as sources of /secrets/databases. */}}
{{- define "gamecast.connectorSources" -}}
{{- range $name, $database := include "gamecast.databases" . | fromYaml }}
{{- with $database.connector.passwordSecret }}{{ if .name }}
{{ include "gamecast.source" (list .name .key (printf "%s/password" $name)) }}
{{- end }}{{ end }}
{{- end }}
{{- end }}
