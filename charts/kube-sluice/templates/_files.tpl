{{/* Refuses a value and a setting that say the same. Takes (list $ value setting…). */}}
{{- define "kube-sluice.once" -}}
{{- $root := index . 0 }}
{{- $value := index . 1 }}
{{- range $name := slice . 2 }}
{{- if hasKey $root.Values.settings $name }}
{{- fail (printf "%s and settings.%s are both set; keep one" $value $name) }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
What reaches registries is told: whose certificates count, and which proxies. Takes
(list $ extraEnv), whose proxies stand in the place of the chart's, and those of trivy-operator's: a
name has one entry.
*/}}
{{- define "kube-sluice.registryEnvironment" -}}
{{- $root := index . 0 }}
{{- $own := list }}
{{- range index . 1 }}
{{- $own = append $own .name }}
{{- end }}
{{- $proxies := list "HTTP_PROXY" "HTTPS_PROXY" "NO_PROXY" }}
{{- range $proxies }}
{{- if has . $own }}
{{- $proxies = list }}
{{- end }}
{{- end }}
{{- if and $root.Values.registries.caConfigMap (not (has "SSL_CERT_FILE" $own)) }}
# Besides the system's folder of certificates, which both Python and Go read in any case.
- name: SSL_CERT_FILE
  value: /run/secrets/registry-ca/ca.crt
{{- end }}
{{- $inside := ".svc,.cluster.local,localhost,127.0.0.1,$(KUBERNETES_SERVICE_HOST)" }}
{{- $proxy := $root.Values.proxy }}
{{- if and $proxies (or $proxy.httpProxy $proxy.httpsProxy) }}
{{- range $name, $url := dict "HTTP_PROXY" $proxy.httpProxy "HTTPS_PROXY" $proxy.httpsProxy }}
{{- if $url }}
- name: {{ $name }}
  value: {{ $url | quote }}
{{- end }}
{{- end }}
- name: NO_PROXY
  value: {{ without (list $proxy.noProxy $inside) "" | join "," | quote }}
{{- else if and $root.Values.trivyOperator.configMaps $proxies }}
{{- range $name, $key := dict "HTTP_PROXY" "trivy.httpProxy" "HTTPS_PROXY" "trivy.httpsProxy" "TRIVY_OPERATOR_NO_PROXY" "trivy.noProxy" }}
- name: {{ $name }}
  valueFrom:
    configMapKeyRef:
      name: trivy-operator-trivy-config
      key: {{ $key }}
      optional: true
{{- end }}
# What is inside of the cluster is never behind a proxy. Without trivy.noProxy a name stands there
# that nobody has.
- name: NO_PROXY
  value: "$(TRIVY_OPERATOR_NO_PROXY),{{ $inside }}"
{{- end }}
{{- end -}}

{{- define "kube-sluice.registryMounts" -}}
{{- if .Values.registries.caConfigMap }}
- name: registry-ca
  mountPath: /run/secrets/registry-ca
  readOnly: true
{{- end }}
{{- end -}}

{{- define "kube-sluice.registryVolumes" -}}
{{- with .Values.registries.caConfigMap }}
- name: registry-ca
  configMap:
    name: {{ . | quote }}
    items:
      - key: ca.crt
        path: ca.crt
{{- end }}
{{- end -}}

{{/* The databases' login: of who downloads one, which are matcher and scanner. */}}
{{- define "kube-sluice.databaseEnvironment" -}}
{{- if .Values.registries.databaseSecret }}
{{- include "kube-sluice.once" (list . "registries.databaseSecret" "SLUICE_DB_REPOSITORY_USERNAME_FILE" "SLUICE_DB_REPOSITORY_PASSWORD_FILE") }}
- name: SLUICE_DB_REPOSITORY_USERNAME_FILE
  value: /run/secrets/databases/username
- name: SLUICE_DB_REPOSITORY_PASSWORD_FILE
  value: /run/secrets/databases/password
{{- else if .Values.trivyOperator.secret }}
- name: SLUICE_OPERATOR_SECRET_DIR
  value: /run/secrets/databases
{{- end }}
{{- end -}}

{{- define "kube-sluice.databaseMounts" -}}
{{- if or .Values.registries.databaseSecret .Values.trivyOperator.secret }}
- name: databases
  mountPath: /run/secrets/databases
  readOnly: true
{{- end }}
{{- end -}}

{{- define "kube-sluice.databaseVolumes" -}}
{{- if .Values.registries.databaseSecret }}
- name: databases
  secret:
    secretName: {{ .Values.registries.databaseSecret | quote }}
    defaultMode: 0440
    items:
      - key: {{ .Values.registries.databaseUsernameKey | quote }}
        path: username
      - key: {{ .Values.registries.databasePasswordKey | quote }}
        path: password
{{- else if .Values.trivyOperator.secret }}
- name: databases
  secret:
    secretName: trivy-operator-trivy-config
    defaultMode: 0440
    # Neither it nor its keys need to be there.
    optional: true
    items:
      - key: trivy.dbRepositoryUsername
        path: trivy.dbRepositoryUsername
      - key: trivy.dbRepositoryPassword
        path: trivy.dbRepositoryPassword
{{- end }}
{{- end -}}

{{/* Programs that give credentials: of the workers, who alone sign in for images. */}}
{{- define "kube-sluice.providerEnvironment" -}}
{{- with .Values.registries.credentialProvider }}
{{- if .configMap }}
{{- include "kube-sluice.once" (list $ "registries.credentialProvider.configMap" "SLUICE_CREDENTIAL_PROVIDER_CONFIG" "SLUICE_CREDENTIAL_PROVIDER_BIN_DIR") }}
- name: SLUICE_CREDENTIAL_PROVIDER_CONFIG
  value: {{ printf "/etc/sluice/credential-provider/%s" .configKey | quote }}
- name: SLUICE_CREDENTIAL_PROVIDER_BIN_DIR
  value: {{ printf "/opt/credential-providers%s" (empty .image | ternary "" .folder) | trimSuffix "/" | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "kube-sluice.providerMounts" -}}
{{- if .Values.registries.credentialProvider.configMap }}
- name: credential-provider
  mountPath: /etc/sluice/credential-provider
  readOnly: true
- name: credential-providers
  mountPath: /opt/credential-providers
  readOnly: true
{{- end }}
{{- end -}}

{{- define "kube-sluice.providerVolumes" -}}
{{- with .Values.registries.credentialProvider }}
{{- if and (not .configMap) (or .image (ne .folder "/")) }}
{{- fail "registries.credentialProvider says where programs are, and not which of them counts for which images: name the ConfigMap with a kubelet's CredentialProviderConfig, --set registries.credentialProvider.configMap=credential-providers" }}
{{- end }}
{{- if .configMap }}
{{- if and (not .image) (eq .folder "/") }}
{{- fail "registries.credentialProvider.configMap is set: name the programs' image, or their folder on each node, registries.credentialProvider.folder" }}
{{- end }}
- name: credential-provider
  configMap:
    name: {{ .configMap | quote }}
    items:
      - key: {{ .configKey | quote }}
        path: {{ .configKey | quote }}
- name: credential-providers
  {{- if .image }}
  image:
    reference: {{ .image | quote }}
    pullPolicy: IfNotPresent
  {{- else }}
  hostPath:
    path: {{ .folder | quote }}
    type: Directory
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Filters: watcher and workers must agree about them, for they are of one generation. */}}
{{- define "kube-sluice.filterEnvironment" -}}
{{- with .Values.filters }}
{{- if .ignoreFileConfigMap }}
{{- include "kube-sluice.once" (list $ "filters.ignoreFileConfigMap" "TRIVY_IGNOREFILE" "SLUICE_IGNORE_RULES") }}
- name: TRIVY_IGNOREFILE
  value: {{ printf "/etc/sluice/ignore-file/%s" .ignoreFileKey | quote }}
{{- end }}
{{- if .ignorePolicyConfigMap }}
{{- include "kube-sluice.once" (list $ "filters.ignorePolicyConfigMap" "TRIVY_IGNORE_POLICY" "SLUICE_IGNORE_POLICIES") }}
- name: TRIVY_IGNORE_POLICY
  value: {{ printf "/etc/sluice/ignore-policy/%s" .ignorePolicyKey | quote }}
{{- end }}
{{- if .vexConfigMap }}
{{- include "kube-sluice.once" (list $ "filters.vexConfigMap" "TRIVY_VEX" "SLUICE_VEX_DOCUMENTS") }}
- name: TRIVY_VEX
  value: {{ printf "/etc/sluice/vex/%s" (join ",/etc/sluice/vex/" .vexKeys) | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "kube-sluice.filterMounts" -}}
{{- range $name, $set := dict "ignore-file" .Values.filters.ignoreFileConfigMap "ignore-policy" .Values.filters.ignorePolicyConfigMap "vex" .Values.filters.vexConfigMap }}
{{- if $set }}
- name: {{ $name }}
  mountPath: /etc/sluice/{{ $name }}
  readOnly: true
{{- end }}
{{- end }}
{{- end -}}

{{- define "kube-sluice.filterVolumes" -}}
{{- with .Values.filters }}
{{- if .ignoreFileConfigMap }}
- name: ignore-file
  configMap:
    name: {{ .ignoreFileConfigMap | quote }}
    items:
      - key: {{ .ignoreFileKey | quote }}
        path: {{ .ignoreFileKey | quote }}
{{- end }}
{{- if .ignorePolicyConfigMap }}
- name: ignore-policy
  configMap:
    name: {{ .ignorePolicyConfigMap | quote }}
    items:
      - key: {{ .ignorePolicyKey | quote }}
        path: {{ .ignorePolicyKey | quote }}
{{- end }}
{{- if .vexConfigMap }}
- name: vex
  configMap:
    name: {{ .vexConfigMap | quote }}
    items:
      {{- range .vexKeys }}
      - key: {{ . | quote }}
        path: {{ . | quote }}
      {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What users add. Takes a component's values. */}}
{{- define "kube-sluice.extraMounts" -}}
{{- with .extraVolumeMounts }}
{{- toYaml . }}
{{- end }}
{{- end -}}

{{- define "kube-sluice.extraVolumes" -}}
{{- with .extraVolumes }}
{{- toYaml . }}
{{- end }}
{{- end -}}
