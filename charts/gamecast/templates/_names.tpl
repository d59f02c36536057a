{{/* The name of the release's objects. */}}
{{- define "gamecast.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- /* The longest suffix leaves a name that may still stand in a label. */}}
{{- default $full .Values.fullnameOverride | trunc 45 | trimSuffix "-" }}
{{- end }}

{{/* Labels that select pods: `(list $ "fanout")`. */}}
{{- define "gamecast.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ default $root.Chart.Name $root.Values.nameOverride | trunc 63 }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Labels of every object: `(list $ "fanout")`. */}}
{{- define "gamecast.labels" -}}
{{- $root := index . 0 -}}
{{ include "gamecast.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: gamecast
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name ($root.Chart.Version | replace "+" "_") }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The head of an object: `(list $ "fanout")`, or with a suffix of the name as third. */}}
{{- define "gamecast.metadata" -}}
{{- $root := index . 0 -}}
name: {{ include "gamecast.fullname" $root }}-{{ index . (sub (len .) 1) }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "gamecast.labels" (list $root (index . 1)) | nindent 2 }}
{{- end }}

{{/* An image: `(list $ .Values.fanout.image)`. */}}
{{- define "gamecast.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- with $root.Values.image.registry }}{{ trimSuffix "/" . }}/{{ end }}
{{- $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default $root.Chart.AppVersion $image.tag }}{{ end }}
{{- end }}
