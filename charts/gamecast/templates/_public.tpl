{{/*
What browsers reach, as a YAML list of {path, type, component}: the longest first, as some
controllers take them in turn.

Of the api's own paths the page needs its files, /config.json, and the list of games, which can only
be read.
*/}}
{{- define "gamecast.publicPaths" -}}
{{- $prefix := .Values.public.pathPrefix -}}
{{- range list "/ws" "/mqtt" "/events" }}
- {path: {{ $prefix }}{{ . }}, type: Exact, component: fanout}
{{- end }}
{{- if .Values.api.enabled }}
{{- if eq .Values.public.api "Page" }}
- {path: {{ $prefix }}/assets/, type: Prefix, component: api}
{{- range list "/config.json" "/favicon.svg" "/index.html" "/games" "/" }}
- {path: {{ $prefix }}{{ . }}, type: Exact, component: api}
{{- end }}
{{- with $prefix }}
# Without the slash it is led to the page.
- {path: {{ . }}, type: Exact, component: api}
{{- end }}
{{- else if eq .Values.public.api "All" }}
- {path: {{ $prefix }}/, type: Prefix, component: api}
{{- end }}
{{- end }}
{{- end }}
