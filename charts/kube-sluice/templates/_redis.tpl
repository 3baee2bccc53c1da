{{/* Refuses what Kubernetes, or the kernel, would refuse later and in other words. */}}
{{- define "kube-sluice.redisChecks" -}}
{{- $limit := dig "limits" "memory" "" .Values.redis.resources | toString }}
{{- $unit := dict "Mi" 1 "Gi" 1024 "Ti" 1048576 }}
{{- if regexMatch "^[0-9]+[MGT]i$" $limit }}
{{- if lt (mul (regexFind "^[0-9]+" $limit) (get $unit (regexFind "[MGT]i$" $limit))) (int64 .Values.redis.maxMemoryMb) }}
{{- fail (printf "redis.maxMemoryMb is above redis.resources.limits.memory (%s): the kernel would end Redis before it refuses anything; raise the limit, --set redis.resources.limits.memory=%dMi" $limit (mul 2 (int64 .Values.redis.maxMemoryMb))) }}
{{- end }}
{{- end }}
{{- $name := printf "%s-redis" (include "kube-sluice.fullname" .) }}
{{- $standing := lookup "apps/v1" "StatefulSet" .Release.Namespace $name }}
{{- if $standing }}
{{- $was := "none" }}
{{- range dig "spec" "volumeClaimTemplates" list $standing }}
{{- $size := .spec.resources.requests.storage }}
{{- if hasSuffix "Ti" $size }}
{{- $size = printf "%dGi" (mul 1024 (trimSuffix "Ti" $size)) }}
{{- end }}
{{- $was = printf "%s %s" $size (.spec.storageClassName | default "") | trim }}
{{- end }}
{{- $wanted := "none" }}
{{- with .Values.redis.persistence }}
{{- if .enabled }}
{{- $wanted = printf "%dGi %s" (int64 .sizeGi) .storageClass | trim }}
{{- end }}
{{- end }}
{{- if ne $was $wanted }}
{{- fail (printf "redis.persistence is %s and would become %s, which Kubernetes does in no StatefulSet that exists. Upgrade again after: kubectl -n %s delete statefulset %s --cascade=orphan (its Pod and its volume stay, the next one takes both over; a larger volume is asked for by: kubectl -n %s patch pvc data-%s-0 --patch '{\"spec\":{\"resources\":{\"requests\":{\"storage\":\"…Gi\"}}}}')" $was $wanted .Release.Namespace $name .Release.Namespace $name) }}
{{- end }}
{{- end }}
{{- end -}}
