{{/*
The metadata of a Pod template; the chart's own labels win. No version is among them: a Pod that an
upgrade does not concern, Redis' above all, goes on running. Takes (list $ component values).
*/}}
{{- define "kube-sluice.podMetadata" -}}
{{- $root := index . 0 -}}
{{- $values := index . 2 -}}
{{- $own := fromYaml (include "kube-sluice.selector" .) -}}
{{- if has (index . 1) (list "watcher" "worker" "matcher") -}}
{{- $_ := set $own "kube-sluice/metrics" "true" -}}
{{- end -}}
labels:
  {{- toYaml (merge $own $root.Values.commonLabels $values.podLabels) | nindent 2 }}
{{- with $values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Where a Pod may run. Takes (list $ component values). */}}
{{- define "kube-sluice.placing" -}}
{{- $of := . }}
{{- with index . 2 }}
{{- with .priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .topologySpreadConstraints }}
{{- $alike := dict "matchLabels" (fromYaml (include "kube-sluice.selector" $of)) }}
topologySpreadConstraints:
  {{- range . }}
  - {{- toYaml (hasKey . "labelSelector" | ternary . (set (deepCopy .) "labelSelector" $alike)) | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What every Pod begins with. Tokens are mounted by hand, into the one container that needs them. */}}
{{- define "kube-sluice.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What every container is forbidden. */}}
{{- define "kube-sluice.locked" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "kube-sluice.imageFields" -}}
image: {{ include "kube-sluice.image" (list . .Values.image .Chart.AppVersion) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end -}}

{{- define "kube-sluice.ports" -}}
- name: metrics
  containerPort: 8080
- name: health
  containerPort: 9090
{{- end -}}

{{/* A process that waits for Redis or the API server serves no probe yet: five minutes for that. */}}
{{- define "kube-sluice.probes" -}}
startupProbe:
  httpGet:
    path: /healthz
    port: health
  periodSeconds: 5
  failureThreshold: 60
livenessProbe:
  httpGet:
    path: /healthz
    port: health
  periodSeconds: 15
  timeoutSeconds: 5
readinessProbe:
  httpGet:
    path: /readyz
    port: health
  periodSeconds: 5
  timeoutSeconds: 5
{{- end -}}

{{/* The volume that holds a service account's token, as the kubelet would mount it by itself. */}}
{{- define "kube-sluice.tokenVolume" -}}
- name: token
  projected:
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 3607
      - configMap:
          name: kube-root-ca.crt
          items:
            - key: ca.crt
              path: ca.crt
      - downwardAPI:
          items:
            - path: namespace
              fieldRef:
                apiVersion: v1
                fieldPath: metadata.namespace
{{- end -}}

{{- define "kube-sluice.tokenMount" -}}
- name: token
  mountPath: /var/run/secrets/kubernetes.io/serviceaccount
  readOnly: true
{{- end -}}

{{/*
The share of one job in the scanner's folder, in MB: an equal one, of all but 512 MB. Takes the
scanner's values.
*/}}
{{- define "kube-sluice.scratchMb" -}}
{{- $share := div (sub (mul (int64 .scratchGi) 1024) 512) (int64 .jobs) -}}
{{- if lt $share 64 -}}
{{- fail "scanner.scratchGi is too small for scanner.jobs: each job needs 64 MB, and 512 MB stay free" -}}
{{- end -}}
{{- $share -}}
{{- end }}
