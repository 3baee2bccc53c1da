{{/*
Annotations of what Helm makes for one occasion and deletes. Takes (list hooks weight), the lower
weight first.
*/}}
{{- define "kube-sluice.hook" -}}
helm.sh/hook: {{ index . 0 }}
helm.sh/hook-weight: {{ index . 1 | quote }}
helm.sh/hook-delete-policy: before-hook-creation{{ if ne (index . 1) "1" }},hook-succeeded{{ end }}
{{- end -}}

{{/* The Pod of a hook, which runs one command of ours and ends. Takes (list $ account). */}}
{{- define "kube-sluice.hookPod" -}}
{{- $root := index . 0 -}}
serviceAccountName: {{ include "kube-sluice.fullname" $root }}-{{ index . 1 }}
restartPolicy: Never
{{ include "kube-sluice.pod" $root }}
{{- include "kube-sluice.placing" (list $root (index . 1) $root.Values.hooks) }}
{{- end -}}

{{/* The fields of its one container that are always the same. */}}
{{- define "kube-sluice.hookContainer" -}}
{{ include "kube-sluice.imageFields" . }}
resources:
  {{- toYaml .Values.hooks.resources | nindent 2 }}
securityContext:
  {{- include "kube-sluice.locked" . | nindent 2 }}
{{- end -}}
