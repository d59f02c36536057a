{{/*
Rules of NetworkPolicies. With both policyTypes whatever no rule names is refused.
*/}}

{{- define "gamecast.dnsRule" -}}
- to:
    {{- toYaml .Values.networkPolicy.dns | nindent 4 }}
  ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
{{- end }}

{{/*
To a server, which is one of this release or where the values say: `(list $ "kafka" RUNS-HERE)`.
*/}}
{{- define "gamecast.serverRule" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $reach := index $root.Values.networkPolicy $name -}}
{{- $here := index . 2 -}}
{{- if not (or $reach.peers $here) }}
{{- fail (printf "networkPolicy.%s.peers is needed: where is it?" $name) }}
{{- end -}}
- to:
    {{- if $here }}
    - podSelector:
        matchLabels:
          {{- include "gamecast.selector" (list $root $name) | nindent 10 }}
    {{- end }}
    {{- with $reach.peers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    {{- range $reach.ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end }}

{{- define "gamecast.kafkaRule" -}}
{{ include "gamecast.serverRule" (list . "kafka" .Values.kafka.enabled) }}
{{- end }}

{{- define "gamecast.mysqlRule" -}}
{{ include "gamecast.serverRule" (list . "mysql" .Values.mysql.enabled) }}
{{- end }}

{{- define "gamecast.apiServerRule" -}}
{{- with .Values.networkPolicy.apiServer -}}
- ports:
    {{- range .ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .peers }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* To the admin port, for metrics. */}}
{{- define "gamecast.monitoringRule" -}}
- ports: [{port: admin, protocol: TCP}]
  from:
    {{- default (list (dict "namespaceSelector" dict)) .Values.networkPolicy.monitoring | toYaml | nindent 4 }}
{{- end }}

{{/* Clients to the public port. */}}
{{- define "gamecast.clientsRule" -}}
- ports: [{port: http, protocol: TCP}]
  {{- with .Values.networkPolicy.clients }}
  from:
    {{- toYaml . | nindent 4 }}
    # The pod of `helm test`.
    - podSelector:
        matchLabels:
          {{- include "gamecast.selector" (list $ "test") | nindent 10 }}
  {{- end }}
{{- end }}

{{/* From pods of this release to a port: `(list $ COMPONENTS PORT)`. */}}
{{- define "gamecast.fromRule" -}}
{{- $root := index . 0 -}}
- ports: [{port: {{ index . 2 }}, protocol: TCP}]
  from:
    {{- range index . 1 }}
    - podSelector:
        matchLabels:
          {{- include "gamecast.selector" (list $root .) | nindent 10 }}
    {{- end }}
{{- end }}

{{/* To pods of this release, at a port: `(list $ COMPONENTS PORT)`. */}}
{{- define "gamecast.toRule" -}}
{{- $root := index . 0 -}}
- ports: [{port: {{ index . 2 }}, protocol: TCP}]
  to:
    {{- range index . 1 }}
    - podSelector:
        matchLabels:
          {{- include "gamecast.selector" (list $root .) | nindent 10 }}
    {{- end }}
{{- end }}

{{/* A policy: `(list $ "fanout" INGRESS-RULES EGRESS-RULES)`. */}}
{{- define "gamecast.networkPolicy" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "gamecast.metadata" (list $root $component) | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "gamecast.selector" (list $root $component) | nindent 6 }}
  policyTypes: [Ingress, Egress]
  {{- with index . 2 }}
  ingress:
    {{- . | nindent 4 }}
  {{- end }}
  {{- with index . 3 }}
  egress:
    {{- . | nindent 4 }}
  {{- end }}
{{- end }}
