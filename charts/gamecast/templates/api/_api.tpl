{{/* The namespace of the api's Games. */}}
{{- define "gamecast.apiNamespace" -}}
{{ default .Release.Namespace .Values.api.namespace }}
{{- end }}

{{/* fanout's MQTT endpoint for browsers; empty where no value tells, and the page has to guess. */}}
{{- define "gamecast.mqttUrl" -}}
{{- $path := printf "%s/mqtt" .Values.public.pathPrefix -}}
{{- if .Values.api.mqttUrl -}}
{{ .Values.api.mqttUrl }}
{{- else if and .Values.ingress.enabled .Values.ingress.host -}}
{{ .Values.ingress.tls.enabled | ternary "wss" "ws" }}://{{ .Values.ingress.host }}{{ $path }}
{{- else if and .Values.gateway.enabled .Values.gateway.hostname -}}
{{ .Values.gateway.tls | ternary "wss" "ws" }}://{{ .Values.gateway.hostname }}{{ $path }}
{{- end }}
{{- end }}
