{{/* What all names begin with. 40 leaves room for "-redis" and a StatefulSet's revision label. */}}
{{- define "kube-sluice.fullname" -}}
{{- $release := .Release.Name -}}
{{- $default := contains .Chart.Name $release | ternary $release (printf "%s-%s" $release .Chart.Name) -}}
{{- .Values.fullnameOverride | default $default | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels that select: they never change. Takes (list $ component values), the last one if any. */}}
{{- define "kube-sluice.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name | quote }}
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- if gt (len .) 2 }}
{{- with (index . 2).pool }}
kube-sluice/pool: {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Labels of every object; the chart's own win. Takes what `selector` takes. */}}
{{- define "kube-sluice.labels" -}}
{{- toYaml (merge (fromYaml (include "kube-sluice.ownLabels" .)) (index . 0).Values.commonLabels) -}}
{{- end -}}

{{- define "kube-sluice.ownLabels" -}}
{{- $root := index . 0 -}}
{{ include "kube-sluice.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/* Labels and annotations of an object. Takes (list $ component annotations), the last one if any. */}}
{{- define "kube-sluice.marks" -}}
labels:
  {{- include "kube-sluice.labels" (slice . 0 2) | nindent 2 }}
{{- $own := gt (len .) 2 | ternary (last .) dict }}
{{- with merge (deepCopy ($own | default dict)) (index . 0).Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The metadata of an object in the release's namespace. Takes what `marks` takes. */}}
{{- define "kube-sluice.metadata" -}}
{{- $root := index . 0 -}}
name: {{ include "kube-sluice.fullname" $root }}-{{ index . 1 }}
namespace: {{ $root.Release.Namespace | quote }}
{{ include "kube-sluice.marks" . }}
{{- end -}}

{{/* The same for the whole cluster: a second release of this name is refused by Helm. */}}
{{- define "kube-sluice.clusterMetadata" -}}
{{- $root := index . 0 -}}
name: {{ include "kube-sluice.fullname" $root }}-{{ index . 1 }}
{{ include "kube-sluice.marks" . }}
{{- end -}}

{{/* The Lease for which watchers stand: common/kube/lease.py makes the same name. */}}
{{- define "kube-sluice.leaseName" -}}
kube-sluice{{ with .Values.cluster }}-{{ . }}{{ end }}
{{- end -}}

{{/*
An image's reference. Takes (list $ image defaultTag). A registry is what has a dot or a port before
the first slash, as every container runtime sees it.
*/}}
{{- define "kube-sluice.image" -}}
{{- $image := index . 1 -}}
{{- $repository := $image.repository -}}
{{- with (index . 0).Values.imageRegistry -}}
{{- $repository = printf "%s/%s" . (regexReplaceAll "^([^/]*[.:][^/]*|localhost)/" $repository "") -}}
{{- end -}}
{{ $repository }}:{{ $image.tag | default (index . 2) }}{{ with $image.digest }}@{{ . }}{{ end }}
{{- end -}}
