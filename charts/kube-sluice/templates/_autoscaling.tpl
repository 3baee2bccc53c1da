{{/* The namespaces from which KEDA asks Redis, as a JSON list; empty where no ScaledObject does. */}}
{{- define "kube-sluice.askingRedis" -}}
{{- $namespaces := list }}
{{- range fromYaml (include "kube-sluice.workers" .) }}
{{- if and (eq .autoscaling.by "keda") (empty .autoscaling.keda.triggers) }}
{{- $namespaces = append $namespaces .autoscaling.keda.namespace }}
{{- end }}
{{- end }}
{{- uniq $namespaces | toJson }}
{{- end -}}

{{/*
KEDA's triggers: how many ids stand in the lists of what a Deployment serves (common/state/names.py
makes the same names). What is delayed or parked stands elsewhere and needs no Pod. Takes
(list $ values).
*/}}
{{- define "kube-sluice.lists" -}}
{{- $root := index . 0 }}
{{- $values := index . 1 }}
{{- $cluster := $root.Values.cluster }}
{{- if not $cluster }}
{{- fail "worker.autoscaling.by is keda, which asks for the queue's lists by their names: name the cluster, --set cluster=production" }}
{{- end }}
{{- if contains "+sentinel" $root.Values.redis.url }}
{{- fail "worker.autoscaling.by is keda and redis.url names Sentinels: say how KEDA reaches them, --set-json worker.autoscaling.keda.triggers='[{\"type\": \"redis-sentinel\", …}]'" }}
{{- end }}
{{- $url := urlParse (include "kube-sluice.redisUrl" $root) }}
{{- $user := regexReplaceAll ":.*" $url.userinfo "" }}
{{- range $pool := $values.serves }}
{{- range $lane := list "" "-bulk" }}
- type: redis
  metadata:
    address: {{ regexMatch ":[0-9]+$" $url.host | ternary $url.host (printf "%s:6379" $url.host) | quote }}
    {{- with $user }}
    username: {{ . | quote }}
    {{- end }}
    databaseIndex: {{ trimPrefix "/" $url.path | default "0" | quote }}
    {{- if eq $url.scheme "rediss" }}
    enableTLS: "true"
    {{- end }}
    listName: {{ printf "rq:queue:%s-%s%s" $cluster $pool $lane | quote }}
    listLength: {{ int64 $values.autoscaling.keysPerReplica | quote }}
  {{- if or (include "kube-sluice.redisSecret" $root) $root.Values.redis.caConfigMap }}
  authenticationRef:
    name: {{ include "kube-sluice.fullname" $root }}-redis
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}
