{{/* What all names begin with. 40 leaves room for "-redis" and a StatefulSet's revision label. */}}
{{- define "kube-sluice.fullname" -}}
{{- $release := .Release.Name -}}
{{- $default := contains .Chart.Name $release | ternary $release (printf "%s-%s" $release .Chart.Name) -}}
{{- .Values.fullnameOverride | default $default | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels that select: they never change. Takes (list $ component). */}}
{{- define "kube-sluice.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Labels of every object. Takes (list $ component). */}}
{{- define "kube-sluice.labels" -}}
{{- $root := index . 0 -}}
{{ include "kube-sluice.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/* The metadata of an object in the release's namespace. Takes (list $ component). */}}
{{- define "kube-sluice.metadata" -}}
{{- $root := index . 0 -}}
name: {{ include "kube-sluice.fullname" $root }}-{{ index . 1 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "kube-sluice.labels" . | nindent 2 }}
{{- end -}}

{{/* The same for the whole cluster: a second release of this name is refused by Helm. */}}
{{- define "kube-sluice.clusterMetadata" -}}
{{- $root := index . 0 -}}
name: {{ include "kube-sluice.fullname" $root }}-{{ index . 1 }}
labels:
  {{- include "kube-sluice.labels" . | nindent 2 }}
{{- end -}}

{{/* The Lease for which watchers stand: common/kube/lease.py makes the same name. */}}
{{- define "kube-sluice.leaseName" -}}
kube-sluice{{ with .Values.cluster }}-{{ . }}{{ end }}
{{- end -}}

{{/* Takes (dict image defaultTag). */}}
{{- define "kube-sluice.image" -}}
{{- $image := .image -}}
{{ $image.repository }}:{{ $image.tag | default .defaultTag }}{{ with $image.digest }}@{{ . }}{{ end }}
{{- end -}}
