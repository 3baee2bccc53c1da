{{/*
The Deployments of workers, by the ends of their names: their values, whole. YAML, because a template
returns text.
*/}}
{{- define "kube-sluice.workers" -}}
{{- $common := merge (dict "scanner" .Values.scanner) (omit .Values.worker "pools") }}
{{- $workers := dict }}
{{- range $pool, $own := .Values.worker.pools }}
{{- $values := mergeOverwrite (deepCopy $common) $own (dict "pool" $pool) }}
{{- $_ := set $workers (printf "worker-%s" $pool) $values }}
{{- end }}
{{- if empty $workers }}
{{- $workers = dict "worker" (merge (dict "serves" (list "reconcile" "scan")) $common) }}
{{- end }}
{{- $served := list }}
{{- range $workers }}
{{- $served = concat $served .serves }}
{{- end }}
{{- range $pool := list "reconcile" "scan" }}
{{- if not (has $pool $served) }}
{{- fail (printf "no entry of worker.pools serves %s, so its keys would wait for ever: add one, --set worker.pools.%s.serves={%s}" $pool $pool $pool) }}
{{- end }}
{{- end }}
{{- toYaml $workers }}
{{- end -}}

{{/* The metadata of an object of one of them. Takes (list $ name). */}}
{{- define "kube-sluice.workerMetadata" -}}
{{- $root := index . 0 -}}
name: {{ include "kube-sluice.fullname" $root }}-{{ index . 1 }}
namespace: {{ $root.Release.Namespace | quote }}
{{ include "kube-sluice.marks" (list $root "worker") }}
{{- end -}}

{{/*
A sidecar: up before the worker, and up until the worker has drained. It parses what images hold, so
it is a user of its own with neither the token nor Redis' password. The socket's folder hands its
group (the Pod's fsGroup, which both users have) on to the socket. Takes (list $ values).
*/}}
{{- define "kube-sluice.scanner" -}}
{{- $root := index . 0 -}}
{{- $values := index . 1 -}}
- name: scanner
  restartPolicy: Always
  {{- include "kube-sluice.imageFields" $root | nindent 2 }}
  args: [scanner]
  env:
    - name: SLUICE_SCANNER_SOCKET
      value: /run/sluice/scanner.sock
    - name: SLUICE_SCANNER_JOBS
      value: {{ int64 $values.scanner.jobs | quote }}
    - name: SLUICE_SCANNER_MEMORY_MB
      value: {{ int64 $values.scanner.memoryPerJobMb | quote }} # else a million is 1e+06
    # Less than the folder's limit, all jobs together: an image is refused before the Pod is
    # evicted.
    - name: SLUICE_SCRATCH_MB
      value: {{ include "kube-sluice.scratchMb" $values.scanner | quote }}
    {{- include "kube-sluice.matchTokenSetting" $root | nindent 4 }}
    {{- include "kube-sluice.registryEnvironment" (list $root $values.scanner.extraEnv) | nindent 4 }}
    {{- include "kube-sluice.databaseEnvironment" $root | nindent 4 }}
    {{- include "kube-sluice.settings" $root | nindent 4 }}
    {{- with $values.scanner.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  # It has no port. A scanner that ended is started again; one that listens has its socket.
  startupProbe:
    exec:
      command: [python, -m, common.ops.healthcheck, scanner]
    periodSeconds: 2
    timeoutSeconds: 5
    failureThreshold: 60
  resources:
    {{- toYaml $values.scanner.resources | nindent 4 }}
  securityContext:
    runAsUser: 65533
    runAsGroup: 65533
    {{- include "kube-sluice.locked" $root | nindent 4 }}
  volumeMounts:
    - name: socket
      mountPath: /run/sluice
    - name: scratch
      mountPath: /tmp
    - name: java-database
      mountPath: /var/lib/sluice
    {{- include "kube-sluice.matchTokenMount" $root | nindent 4 }}
    {{- include "kube-sluice.registryMounts" $root | nindent 4 }}
    {{- include "kube-sluice.databaseMounts" $root | nindent 4 }}
    {{- include "kube-sluice.extraMounts" $values.scanner | nindent 4 }}
{{- end -}}
