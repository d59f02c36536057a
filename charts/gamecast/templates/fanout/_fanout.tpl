{{/*
How long a pod may take to end, in seconds: until proxies know, until all clients are told, 6 s for
them to take what waits and leave, and 5 s more before it is killed.
*/}}
{{- define "gamecast.fanoutGrace" -}}
{{ add .Values.fanout.preStopSeconds .Values.fanout.drainPeriodSeconds 6 5 }}
{{- end }}

{{/* The origins whose pages may connect, as a YAML list. */}}
{{- define "gamecast.fanoutOrigins" -}}
{{- $origins := .Values.fanout.allowOrigins }}
{{- with .Values.ingress }}{{ if and .enabled .host }}
{{- $origins = append $origins (printf "%s://%s" (.tls.enabled | ternary "https" "http") .host) }}
{{- end }}{{ end }}
{{- with .Values.gateway }}{{ if and .enabled .hostname }}
{{- $origins = append $origins (printf "%s://%s" (.tls | ternary "https" "http") .hostname) }}
{{- end }}{{ end }}
{{- $origins | uniq | toYaml }}
{{- end }}
