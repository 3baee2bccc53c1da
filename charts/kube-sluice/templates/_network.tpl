{{/* This release's Pods, as peers of a NetworkPolicy. Takes (list $ component…). */}}
{{- define "kube-sluice.peers" -}}
{{- $root := index . 0 }}
{{- range $component := rest . }}
- podSelector:
    matchLabels:
      {{- include "kube-sluice.selector" (list $root $component) | nindent 6 }}
{{- end }}
{{- end -}}

{{/* Where a component connects to. Takes (list $ component). */}}
{{- define "kube-sluice.egress" -}}
{{- $root := index . 0 }}
# Names.
- ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
{{- /* A rule without ports would open all of them. */}}
{{- with concat $root.Values.networkPolicy.egress.ports (fromJsonArray (include "kube-sluice.redisPorts" $root)) }}
- ports:
    {{- range uniq . }}
    - port: {{ int64 . }}
    {{- end }}
{{- end }}
{{- if not $root.Values.redis.url }}
- ports:
    - port: redis
  to:
    {{- include "kube-sluice.peers" (list $root "redis") | nindent 4 }}
{{- end }}
{{- if eq (index . 1) "worker" }}
- ports:
    - port: match
  to:
    {{- include "kube-sluice.peers" (list $root "matcher") | nindent 4 }}
{{- end }}
{{- with $root.Values.networkPolicy.egress.more }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
The ports that your Redis' URL names, as a JSON list. Behind Sentinels the servers have others, which
nobody can read there: 6379 is theirs as a rule.
*/}}
{{- define "kube-sluice.redisPorts" -}}
{{- $ports := list }}
{{- with .Values.redis.url }}
{{- range regexFindAll ":[0-9]+" . -1 }}
{{- $ports = append $ports (trimPrefix ":" . | int64) }}
{{- end }}
{{- if or (empty $ports) (contains "+sentinel" .) }}
{{- $ports = append $ports 6379 }}
{{- end }}
{{- end }}
{{- toJson $ports }}
{{- end -}}
