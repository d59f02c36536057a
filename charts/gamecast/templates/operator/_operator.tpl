{{/* The Lease of the operator that leads. */}}
{{- define "gamecast.lease" -}}
{{ include "gamecast.fullname" . }}-operator
{{- end }}

{{/* The operator's secrets. */}}
{{- define "gamecast.operatorSources" -}}
{{- include "gamecast.kafkaSources" (list $ "operator") }}
{{- include "gamecast.databaseSources" (list $ "operator") }}
{{- with .Values.connect.caSecret }}{{ if .name }}
{{ include "gamecast.source" (list .name .key "connect/ca.crt") }}
{{- end }}{{ end }}
{{- include "gamecast.passwordSource" (list $ .Values.connect "operator" "connect-password" "connect/password") }}
{{- end }}

{{/* What the operator may do with Games and Feeds, and why. */}}
{{- define "gamecast.operatorRules" -}}
# Reading them; finalizers and annotations; `operator release`.
- apiGroups: [gamecast.dev]
  resources: [games, feeds]
  verbs: [get, list, watch, patch]
# Statuses.
- apiGroups: [gamecast.dev]
  resources: [games/status, feeds/status]
  verbs: [patch]
# Events of what turned.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
