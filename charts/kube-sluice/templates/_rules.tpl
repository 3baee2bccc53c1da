{{/* The metadata of a role or its binding. Takes (list $ component namespace); none: the cluster's. */}}
{{- define "kube-sluice.roleMetadata" -}}
{{- $root := index . 0 -}}
name: {{ include "kube-sluice.fullname" $root }}-{{ index . 1 }}
{{- with index . 2 }}
namespace: {{ . | quote }}
{{- end }}
{{ include "kube-sluice.marks" (list $root (index . 1)) }}
{{- end -}}

{{- define "kube-sluice.rules.watcher" -}}
- apiGroups: [""]
  resources: [{{ if .Values.rbac.clusterWide }}nodes, {{ end }}pods, replicationcontrollers]
  verbs: [list, watch]
- apiGroups: [apps]
  resources: [deployments, replicasets, statefulsets, daemonsets]
  verbs: [list, watch]
- apiGroups: [batch]
  resources: [jobs, cronjobs]
  verbs: [list, watch]
- apiGroups: [aquasecurity.github.io]
  resources: [vulnerabilityreports, exposedsecretreports, sbomreports]
  verbs: [list, watch]
{{- if .Values.rbac.clusterWide }}
# About the cluster as a whole; who may work in namespaces alone writes none.
- apiGroups: [aquasecurity.github.io]
  resources: [clustersbomreports, clustervulnerabilityreports]
  verbs: [list, watch]
{{- end }}
{{- end -}}

{{- define "kube-sluice.rules.worker" -}}
- apiGroups: [aquasecurity.github.io]
  resources: [vulnerabilityreports, exposedsecretreports, sbomreports]
  verbs: [get, create, update, patch, delete]
{{- if .Values.rbac.clusterWide }}
- apiGroups: [aquasecurity.github.io]
  resources: [clustersbomreports, clustervulnerabilityreports]
  verbs: [get, create, update, patch, delete]
{{- end }}
# Failures are told on the workload; the same failure again raises a count.
- apiGroups: [""]
  resources: [events]
  verbs: [create, get, patch]
{{- if .Values.rbac.pullSecrets }}
# By name only, never a list: what a kubelet would pull with.
- apiGroups: [""]
  resources: [secrets, serviceaccounts]
  verbs: [get]
{{- end }}
{{- end -}}
