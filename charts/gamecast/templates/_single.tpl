{{/*
A server of one pod with a volume, for trying things out: `(list $ "kafka" PORT USER)`. The pod's
containers and volumes follow, six spaces deep.
*/}}
{{- define "gamecast.single" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $port := index . 2 -}}
{{- $values := index $root.Values $component -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "gamecast.metadata" (list $root $component) | nindent 2 }}
spec:
  ports:
    - {name: {{ $component }}, port: {{ $port }}, targetPort: {{ $component }}}
  selector:
    {{- include "gamecast.selector" (list $root $component) | nindent 4 }}
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  {{- include "gamecast.metadata" (list $root $component) | nindent 2 }}
spec:
  replicas: 1
  serviceName: {{ include "gamecast.fullname" $root }}-{{ $component }}
  selector:
    matchLabels:
      {{- include "gamecast.selector" (list $root $component) | nindent 6 }}
  volumeClaimTemplates:
    - apiVersion: v1
      kind: PersistentVolumeClaim
      metadata:
        name: data
      spec:
        accessModes: [ReadWriteOnce]
        {{- with $values.storageClassName }}
        storageClassName: {{ . }}
        {{- end }}
        resources:
          requests:
            storage: {{ $values.storage }}
  template:
    metadata:
      labels:
        {{- include "gamecast.labels" (list $root $component) | nindent 8 }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      securityContext:
        {{- include "gamecast.podSecurity" (index . 3) | nindent 8 }}
      {{- with $root.Values.image.pullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end }}

{{/* What its container has in common: `(list $ "kafka")`. */}}
{{- define "gamecast.singleContainer" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $values := index $root.Values $component -}}
name: {{ $component }}
image: {{ include "gamecast.image" (list $root $values.image) }}
imagePullPolicy: {{ $values.image.pullPolicy }}
startupProbe:
  tcpSocket: {port: {{ $component }}}
  periodSeconds: 2
  failureThreshold: 150
readinessProbe:
  tcpSocket: {port: {{ $component }}}
  periodSeconds: 5
resources:
  {{- toYaml $values.resources | nindent 2 }}
securityContext:
  {{- include "gamecast.containerSecurity" $root | nindent 2 }}
{{- end }}
