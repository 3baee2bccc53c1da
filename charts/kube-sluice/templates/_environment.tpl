{{/* The settings that all components share: one policy, so that their reports agree. */}}
{{- define "kube-sluice.settings" -}}
- name: SLUICE_DATA_DIR
  value: /var/lib/sluice
{{- $owned := .Files.Get "files/settings-of-the-chart.yaml" | fromYaml }}
{{- range $name, $value := .Values.settings }}
{{- with get $owned $name }}
{{- fail (printf "settings.%s is said by the chart itself; set %s" $name .) }}
{{- end }}
- name: {{ $name }}
  {{- /* A values file's numbers are floats to Helm, and a million is 1e+06. */}}
  value: {{ and (kindIs "float64" $value) (eq (floor $value) $value) | ternary (int64 $value) $value | toString | quote }}
{{- end }}
{{- end -}}

{{/* Everything that a component with Redis and a token is told. */}}
{{- define "kube-sluice.environment" -}}
- name: OPERATOR_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: SLUICE_REDIS_URL
  value: {{ include "kube-sluice.redisUrl" . | quote }}
{{- if include "kube-sluice.redisSecret" . }}
- name: SLUICE_REDIS_PASSWORD_FILE
  value: /run/secrets/redis/password
{{- end }}
{{- if .Values.redis.caConfigMap }}
- name: SLUICE_REDIS_CA_FILE
  value: /run/secrets/redis-ca/ca.crt
{{- end }}
- name: SLUICE_OPERATOR_CONFIGMAPS
  value: {{ .Values.trivyOperator.configMaps | quote }}
- name: SLUICE_LEADER_ELECTION
  value: {{ .Values.watcher.leaderElection | quote }}
{{- with .Values.cluster }}
- name: SLUICE_CLUSTER
  value: {{ . | quote }}
{{- end }}
{{ include "kube-sluice.settings" . }}
{{- end -}}

{{/* The token that guards the match server: a Secret of yours, else the chart's own. */}}
{{- define "kube-sluice.matchTokenVolume" -}}
- name: match-token
  secret:
    secretName: {{ .Values.matcher.existingSecret | default (printf "%s-matcher" (include "kube-sluice.fullname" .)) | quote }}
    defaultMode: 0440
    items:
      - key: {{ empty .Values.matcher.existingSecret | ternary "token" .Values.matcher.existingSecretKey | quote }}
        path: token
{{- end -}}

{{- define "kube-sluice.matchTokenMount" -}}
- name: match-token
  mountPath: /run/secrets/match
  readOnly: true
{{- end -}}

{{- define "kube-sluice.matchTokenSetting" -}}
- name: SLUICE_TRIVY_TOKEN_FILE
  value: /run/secrets/match/token
{{- end -}}

{{- define "kube-sluice.redisUrl" -}}
{{- $own := printf "redis://%s-redis.%s.svc:6379/0" (include "kube-sluice.fullname" .) .Release.Namespace -}}
{{- .Values.redis.url | default $own -}}
{{- end -}}

{{/* The Secret with Redis' password; empty: yours has none. */}}
{{- define "kube-sluice.redisSecret" -}}
{{- if .Values.redis.existingSecret -}}
{{ .Values.redis.existingSecret }}
{{- else if not .Values.redis.url -}}
{{ include "kube-sluice.fullname" . }}-redis
{{- end -}}
{{- end -}}

{{- define "kube-sluice.redisVolumes" -}}
{{- with include "kube-sluice.redisSecret" . }}
- name: redis-password
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0440
    items:
      - key: {{ empty $.Values.redis.existingSecret | ternary "password" $.Values.redis.existingSecretKey | quote }}
        path: password
{{- end }}
{{- with .Values.redis.caConfigMap }}
- name: redis-ca
  configMap:
    name: {{ . | quote }}
    items:
      - key: ca.crt
        path: ca.crt
{{- end }}
{{- end -}}

{{- define "kube-sluice.redisMounts" -}}
{{- if include "kube-sluice.redisSecret" . }}
- name: redis-password
  mountPath: /run/secrets/redis
  readOnly: true
{{- end }}
{{- if .Values.redis.caConfigMap }}
- name: redis-ca
  mountPath: /run/secrets/redis-ca
  readOnly: true
{{- end }}
{{- end -}}
