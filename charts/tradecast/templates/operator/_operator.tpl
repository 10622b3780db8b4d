{{- define "tradecast.operatorName" -}}
{{ include "tradecast.fullname" . }}-operator
{{- end -}}

{{/* The Secret with ADMIN_TOKEN, by which the operator accesses the servers' admin port. */}}
{{- define "tradecast.adminSecret" -}}
{{- if .Values.tokens.existingSecret -}}
{{- .Values.tokens.existingSecret -}}
{{- else if .Values.operator.enabled -}}
{{- include "tradecast.fullname" . }}-admin
{{- end -}}
{{- end -}}

{{/*
All rights of the operator. kopf watches SocketFleets; other objects are read by name. Takes root, and own: whether the rights are for the
release's own objects only.
*/}}
{{- define "tradecast.operatorRules" -}}
{{- $own := .own -}}
{{- with .root -}}
- apiGroups: [tradecast.dev]
  resources: [socketfleets]
  verbs: [get, list, watch, patch]
- apiGroups: [tradecast.dev]
  resources: [socketfleets/status]
  verbs: [patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, patch]
  {{- if $own }}
  resourceNames: [{{ include "tradecast.fullname" . }}]
  {{- end }}
# The owners of a pod: its ReplicaSet, and the ReplicaSet's Deployment.
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [list]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, patch]
  {{- if $own }}
  resourceNames: [{{ include "tradecast.tunedConfigMap" . | quote }}]
  {{- end }}
- apiGroups: [""]
  resources: [configmaps]
  verbs: [create]
# The Lease determines who acts on a fleet.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, patch]
  {{- if $own }}
  resourceNames: [{{ include "tradecast.operatorName" . }}]
  {{- end }}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
  {{- if $own }}
  resourceNames:
    - {{ include "tradecast.adminSecret" . | quote }}
    {{- with dig "redisAdapter" "redisSecret" "name" "" .Values.operator.fleet }}
    - {{ . | quote }}
    {{- end }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* The namespaces that the operator manages besides the release's, as a list. */}}
{{- define "tradecast.operatorNamespaces" -}}
{{- without (.Values.operator.namespaces | default list | uniq) .Release.Namespace | toJson -}}
{{- end -}}

{{/* The ConfigMap with the adapter settings: a person's, or the operator's own if it writes them. */}}
{{- define "tradecast.adapterConfigMap" -}}
{{- if (.Values.adapter | default dict).configMap -}}
{{- (.Values.adapter | default dict).configMap -}}
{{- else if include "tradecast.tunesAdapter" . -}}
{{- include "tradecast.tunedConfigMap" . -}}
{{- end -}}
{{- end -}}

{{/* The operator's own objects. */}}
{{- define "tradecast.tunedConfigMap" -}}
{{- dig "redisAdapter" "configMap" "" .Values.operator.fleet | default (printf "%s-adapter" (include "tradecast.fullname" .)) -}}
{{- end -}}

{{- define "tradecast.tunesAdapter" -}}
{{- if and .Values.operator.enabled (ne (dig "redisAdapter" "apply" "recommend" .Values.operator.fleet) "recommend") -}}true{{- end -}}
{{- end -}}

{{/* The source of KEDA's connection count. */}}
{{- define "tradecast.metricSource" -}}
{{- $source := .Values.autoscaling.keda.source -}}
{{- if eq $source "auto" -}}{{- $source = ternary "operator" "prometheus" .Values.operator.enabled -}}{{- end -}}
{{- $source -}}
{{- end -}}
